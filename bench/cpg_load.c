/*
 * cpg_load - load and latency of a process group through libcpg alone, on any daemon that serves it.
 *
 *   cpg_load tput MEMBERS SENDERS IS_SENDER SIZE SECONDS COUNT GROUP   (COUNT 0: until SECONDS are over)
 *   cpg_load ping MEMBERS SENDERS IS_SENDER SIZE GAP_US  COUNT GROUP
 *
 * Prints {"ev":"ready"} when the group has MEMBERS members, waits for the line "go T" (start at the
 * CLOCK_MONOTONIC nanosecond T), runs, prints one {"ev":"result",...} and waits for end of file.
 * Message: u32 node, u32 sequence, u64 nanosecond, filler; 16 bytes alone mean "this sender is done".
 * The rolling CRC-32 covers the first CHECKED bytes of every message in delivery order.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <corosync/corotypes.h>
#include <corosync/cpg.h>
#include "crc32.h"

#define CHECKED 1024
#define BURST 32
#define WARM_UP 20
#define LIMIT_NS 90000000000ull

struct head {
	uint32_t node, seq;
	uint64_t sent_ns;
};

static cpg_handle_t handle;
static int cpg_fd;
static uint32_t my_node, crc, wanted_members, wanted_ends, members, ends;
static uint64_t delivered, bytes, own, first_ns, last_ns, last_own_sent_ns, sent;
static char *buffer;

static uint64_t now_ns(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static void fail(const char *what, int code)
{
	printf("{\"ev\":\"error\",\"what\":\"%s\",\"code\":%d}\n", what, code);
	fflush(stdout);
	exit(3);
}

static void on_deliver(cpg_handle_t h, const struct cpg_name *name, uint32_t node, uint32_t pid,
		       void *message, size_t size)
{
	struct head head;

	(void)h, (void)name, (void)pid;
	crc = crc_add(crc, message, size < CHECKED ? size : CHECKED);
	if (size == sizeof head) {
		ends++;
		return;
	}
	last_ns = now_ns();
	if (!delivered++)
		first_ns = last_ns;
	bytes += size;
	if (node == my_node) {
		memcpy(&head, message, sizeof head);
		last_own_sent_ns = head.sent_ns;
		own++;
	}
}

static void on_view(cpg_handle_t h, const struct cpg_name *name, const struct cpg_address *m,
		    size_t n, const struct cpg_address *l, size_t nl, const struct cpg_address *j, size_t nj)
{
	(void)h, (void)name, (void)m, (void)l, (void)nl, (void)j, (void)nj;
	members = (uint32_t)n;
}

static void dispatch(int wait_ms)
{
	struct pollfd fd = { .fd = cpg_fd, .events = POLLIN };
	cs_error_t rc;

	if (poll(&fd, 1, wait_ms) <= 0)
		return;
	rc = cpg_dispatch(handle, CS_DISPATCH_ALL);
	if (rc != CS_OK && rc != CS_ERR_TRY_AGAIN)
		fail("cpg_dispatch", rc);
}

static void join(const char *group)
{
	cpg_callbacks_t callbacks = { .cpg_deliver_fn = on_deliver, .cpg_confchg_fn = on_view };
	struct cpg_name name = { .length = (uint32_t)strlen(group) };
	uint64_t limit = now_ns() + LIMIT_NS;
	cs_error_t rc;

	memcpy(name.value, group, name.length);
	while ((rc = cpg_initialize(&handle, &callbacks)) != CS_OK && now_ns() < limit)
		usleep(5000);
	if (rc != CS_OK || cpg_local_get(handle, &my_node) != CS_OK || cpg_fd_get(handle, &cpg_fd) != CS_OK)
		fail("connect", rc);
	while ((rc = cpg_join(handle, &name)) == CS_ERR_TRY_AGAIN && now_ns() < limit)
		usleep(1000);
	if (rc != CS_OK)
		fail("cpg_join", rc);
	while (members < wanted_members && now_ns() < limit)
		dispatch(100);
}

static int multicast(size_t size)
{
	struct head head = { my_node, (uint32_t)sent, now_ns() };
	struct iovec piece = { .iov_base = buffer, .iov_len = size };
	cs_error_t rc;

	memcpy(buffer, &head, sizeof head);
	rc = cpg_mcast_joined(handle, CPG_TYPE_AGREED, &piece, 1);
	if (rc != CS_OK && rc != CS_ERR_TRY_AGAIN)
		fail("cpg_mcast_joined", rc);
	sent += rc == CS_OK;
	return rc == CS_OK;
}

static void wait_for_go(void)
{
	struct pollfd fds[2] = { { .fd = 0, .events = POLLIN }, { .fd = cpg_fd, .events = POLLIN } };
	char line[64];
	uint64_t start = 0;

	printf("{\"ev\":\"ready\",\"node\":%u}\n", my_node);
	fflush(stdout);
	while (!(fds[0].revents & POLLIN)) {
		poll(fds, 2, 1000);
		if (fds[1].revents)
			dispatch(0);
	}
	if (!fgets(line, sizeof line, stdin) || sscanf(line, "go %" SCNu64, &start) != 1)
		exit(2);
	while (now_ns() < start)
		dispatch((int)((start - now_ns()) / 1000000 + 1));
}

static void throughput(size_t size, double seconds, uint64_t count)
{
	uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);

	while (count ? sent < count : now_ns() < end) {
		int i = 0;
		while (i < BURST && (!count || sent < count) && multicast(size))
			i++;
		dispatch(i == BURST ? 0 : 1);
	}
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void ping(size_t size, unsigned gap_us, uint64_t count)
{
	uint64_t *took = calloc(count, sizeof *took);

	for (uint64_t i = 0; i < count + WARM_UP; i++) {
		uint64_t before = own;
		while (!multicast(size))
			dispatch(1);
		while (own == before)
			dispatch(100);
		if (i >= WARM_UP)
			took[i - WARM_UP] = last_ns - last_own_sent_ns;
		if (gap_us)
			usleep(gap_us);
	}
	qsort(took, count, sizeof *took, by_value);
	printf("{\"ev\":\"ping\",\"p50_us\":%.1f,\"p99_us\":%.1f}\n", took[count / 2] / 1e3,
	       took[count * 99 / 100] / 1e3);
}

int main(int argc, char **argv)
{
	struct rusage used;
	uint64_t limit;
	int is_sender;
	size_t size;

	if (argc != 9)
		return 2;
	wanted_members = (uint32_t)atoi(argv[2]);
	wanted_ends = (uint32_t)atoi(argv[3]);
	is_sender = atoi(argv[4]);
	size = (size_t)atol(argv[5]);
	if (size <= sizeof(struct head))
		return 2;
	buffer = malloc(size);
	memset(buffer, 'x', size);
	crc_setup();
	join(argv[8]);
	wait_for_go();
	if (is_sender && !strcmp(argv[1], "tput"))
		throughput(size, atof(argv[6]), (uint64_t)atol(argv[7]));
	else if (is_sender)
		ping(size, (unsigned)atol(argv[6]), (uint64_t)atol(argv[7]));
	limit = now_ns() + LIMIT_NS;
	while (is_sender && !multicast(sizeof(struct head)))
		dispatch(1);
	while (ends < wanted_ends && now_ns() < limit)
		dispatch(50);
	if (ends < wanted_ends)
		fail("no end", 0);
	getrusage(RUSAGE_SELF, &used);
	printf("{\"ev\":\"result\",\"delivered\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"crc\":\"%08x\","
	       "\"span_s\":%.6f,\"cpu_s\":%.3f}\n", delivered, bytes, crc, (last_ns - first_ns) / 1e9,
	       used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
	fflush(stdout);
	while (getchar() != EOF)
		;
	cpg_finalize(handle);
	return 0;
}
