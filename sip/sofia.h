/* Sofia-SIP with the types of its callbacks set to ours. Include this instead of Sofia's own headers. */
#pragma once

struct sipd;
struct fork;
struct branch;

#define NTA_AGENT_MAGIC_T struct sipd
#define NTA_OUTGOING_MAGIC_T struct branch
#define NTA_INCOMING_MAGIC_T struct fork

#include <sofia-sip/su.h>
#include <sofia-sip/su_wait.h>
#include <sofia-sip/su_tag.h>
#include <sofia-sip/su_string.h>
#include <sofia-sip/su_uniqueid.h>
#include <sofia-sip/nta.h>
#include <sofia-sip/nta_tag.h>
#include <sofia-sip/nta_stateless.h>
#include <sofia-sip/nta_tport.h>
#include <sofia-sip/tport.h>
#include <sofia-sip/tport_tag.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_status.h>
#include <sofia-sip/sip_tag.h>
#include <sofia-sip/sip_util.h>
#include <sofia-sip/msg_addr.h>
#include <sofia-sip/msg_header.h>
#include <sofia-sip/sofia_features.h>
