EXTRA_DIST += bench/run.sh bench/tandem.ini bench/kamailio.cfg bench/haproxy.cfg
