/* Makes a dump of libqb that holds every conversion its serialiser knows.
 * cc entries.c -lqb && ./a.out OUT RING_BYTES ROUNDS [percent] */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <qb/qblog.h>

int main(int argc, char **argv)
{
	qb_log_init("entries", LOG_DAEMON, LOG_TRACE);
	qb_log_ctl(QB_LOG_SYSLOG, QB_LOG_CONF_ENABLED, QB_FALSE);
	qb_log_filter_ctl(QB_LOG_BLACKBOX, QB_LOG_FILTER_ADD, QB_LOG_FILTER_FILE, "*", LOG_TRACE);
	qb_log_ctl(QB_LOG_BLACKBOX, QB_LOG_CONF_SIZE, atoi(argv[2]));
	qb_log_ctl(QB_LOG_BLACKBOX, QB_LOG_CONF_THREADED, QB_FALSE);
	qb_log_ctl(QB_LOG_BLACKBOX, QB_LOG_CONF_ENABLED, QB_TRUE);
	for (int i = 0; i < atoi(argv[3]); i++) {
		qb_log(LOG_INFO,"plain %d of %u",  i, 7u);
		qb_log(LOG_DEBUG,"hex %#x %08lx %llu %zu",  255, 0xdeadbeefUL, 1234567890123ULL, (size_t)42);
		qb_log(LOG_WARNING,"str [%s] [%10s] [%-10s] [%.3s] [%.*s]",  "abc", "right", "left", "truncated", 2,"xyz");
		qb_log(LOG_ERR,"float %f %.2f %e %g char %c",  3.14159, 2.5, 12345.678, 0.0001, 'Q');
		qb_log(LOG_CRIT,"ptr %p width %*d",  (void*)0x1234, 6, 42);
		qb_log(LOG_TRACE,"neg %d %ld %lld %i",  -1, -2L, -3LL, -4);
		qb_log(LOG_INFO,"a%cb%-5c|% d|%+d|%5.2f|%5d|%05d|%jd|%td|%x|%X|%o|%G|%-8p|%#o|", 'x','y',1,2,2.5,6,7, (intmax_t)8, (ptrdiff_t)9,10,11,12,1.0, (void*)0x20,8);
		qb_log(LOG_INFO,"uni \xc3\xa4 \x1b[31m ext %d",  5);
		qb_log(LOG_INFO,"%c|%5s|%.0f|%.10g|%+.3e|%5.1f|%lu|%zd|%i",  'z', "ab",  2.5, 1.0/3, 12345.6789, -0.05, 99UL, (ssize_t)-9, 3);
		if (argc > 4) {
			qb_log(LOG_NOTICE, "every %d ms (%d%% of all)", 1237, 75);
			qb_log(LOG_NOTICE, "%d%% %s %d%%, %% %% %ld", 75, "left", 25, 7L);
			qb_log(LOG_EMERG, "short %hd %hhd", (short)-5, (signed char)-3);
			qb_log(LOG_ALERT, "hexadecimal %a", 2.0);
		}
	}
	int failed = qb_log_blackbox_write_to_file(argv[1]) < 0;
	qb_log_fini();
	return failed;
}
