EXTRA_DIST += bench/run.sh bench/sip.sh bench/sip bench/kamailio-sip.cfg bench/kamailio-sip.lua bench/tandem.ini bench/kamailio.cfg bench/haproxy.cfg
