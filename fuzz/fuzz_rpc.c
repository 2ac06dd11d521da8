/* Fuzz target: lines of the control socket.
 *
 * Every line is answered with nothing (a notification) or with one line that is a JSON value with "jsonrpc", and an
 * answer has either a result or an error. No backend is there: methods answer "not available". */
#include "fuzz/fuzz.h"

#include <jansson.h>
#include <string.h>

#include "ctl/rpc.h"

static void check_answer(const json_t *answer)
{
    const json_t *error = json_object_get(answer, "error");

    FUZZ_CHECK(json_is_object(answer));
    FUZZ_CHECK(json_is_string(json_object_get(answer, "jsonrpc")));
    FUZZ_CHECK(json_object_get(answer, "id") != NULL);
    FUZZ_CHECK((json_object_get(answer, "result") != NULL) != (error != NULL));
    FUZZ_CHECK(!error || json_is_integer(json_object_get(error, "code")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct rpc_backend backend;
    static const struct rpc_options options = { .version = "tandem", .backend = &backend };
    struct sv line = sv_make(data, size < 8192 ? size : 8192);
    struct buf out = BUF_INIT;
    json_t *answer;

    line = sv_upto(line, sv_find(line, '\n'));
    rpc_answer(&options, 0, line, &out);
    FUZZ_CHECK(!buf_failed(&out));
    if (out.n) {
        FUZZ_CHECK(memchr(out.p, '\n', out.n) == out.p + out.n - 1);
        answer = json_loadb(out.p, out.n, JSON_DECODE_ANY, NULL);
        if (json_is_array(answer))
            for (size_t i = 0; i < json_array_size(answer); i++)
                check_answer(json_array_get(answer, i));
        else
            check_answer(answer);
        json_decref(answer);
    }
    buf_fini(&out);
    return 0;
}
