/*
 * cpg_node - one member of a process group, driven by lines on stdin, reporting JSON lines on stdout.
 *
 * Uses the public libcpg API alone, so the same binary runs on a Corosync host and on a Unisono host.
 *
 *   cpg_node GROUP
 *
 * commands                       effect
 *   send COUNT SIZE [GAP_US]     multicast COUNT messages of SIZE bytes, then an ordered "done"
 *   mark LABEL                   ordered mark: every member reports, then starts counting afresh
 *   report                       report now, not ordered with anything
 *   members                      cpg_membership_get
 *   leave | quit                 (end of file is quit; Corosync has no second join per connection)
 *
 * The rolling `crc` covers (node id, whole payload) of each data message in delivery order: equal
 * crc and count at two members is equal content in equal order. `bad` counts payloads that are not
 * what their header says, `gaps` counts messages of one sender that are missing or out of sequence.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <corosync/corotypes.h>
#include <corosync/cpg.h>
#include "crc32.h"

#define MAGIC 0x554E4953u
#define BURST 32
#define SENDERS_MAX 64
#define CONNECT_NS_MAX 60000000000ull

enum kind { DATA = 1, DONE = 2, MARK = 3 };

struct head {
	uint32_t magic;
	uint16_t kind;
	uint16_t run;
	uint32_t seq;
	uint32_t size;
	uint32_t node;
	uint32_t filler;
};

struct sender {
	uint32_t node, pid, run, next;
};

static cpg_handle_t handle;
static struct cpg_name group;
static uint32_t my_node;
static int cpg_fd;

static uint32_t crc;
static uint64_t count, bytes, bad, gaps;
static struct sender senders[SENDERS_MAX];
static size_t sender_count;

static uint8_t *buffer;
static size_t buffer_bytes;
static uint32_t run, to_send, sent, message_bytes, gap_us;
static uint64_t next_send_ns;

static uint64_t now_ns(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static void tally(void)
{
	printf(",\"count\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"crc\":\"%08x\",\"bad\":%" PRIu64
	       ",\"gaps\":%" PRIu64 ",\"t\":%" PRIu64 "}\n", count, bytes, crc, bad, gaps, now_ns());
	fflush(stdout);
}

static void fail(const char *what, int code, int status)
{
	printf("{\"ev\":\"%s\",\"what\":\"%s\",\"code\":%d", status == 4 ? "lost" : "error", what, code);
	tally();
	exit(status);
}

/* -- payloads ------------------------------------------------------------------------------- */

static uint32_t filler_word(const struct head *head, size_t index)
{
	uint32_t word = head->node * 2654435761u ^ head->seq * 40503u ^ (uint32_t)index * 2246822519u;

	return word ^ word >> 15;
}

static void fill(struct head *head, size_t size)
{
	uint8_t *body = (uint8_t *)(head + 1);
	size_t left = size - sizeof *head;

	for (size_t i = 0; left; i++) {
		uint32_t word = filler_word(head, i);
		size_t step = left < 4 ? left : 4;
		memcpy(body, &word, step);
		body += step;
		left -= step;
	}
}

static int is_whole(const struct head *head, size_t size, uint32_t node)
{
	const uint8_t *body = (const uint8_t *)(head + 1);
	size_t left = size - sizeof *head;

	if (head->size != size || head->node != node)
		return 0;
	for (size_t i = 0; left; i++) {
		uint32_t word = filler_word(head, i);
		size_t step = left < 4 ? left : 4;
		if (memcmp(body, &word, step))
			return 0;
		body += step;
		left -= step;
	}
	return 1;
}

static void follow(const struct head *head, uint32_t node, uint32_t pid)
{
	struct sender *who = senders;

	while (who < senders + sender_count && (who->node != node || who->pid != pid))
		who++;
	if (who == senders + sender_count) {
		if (sender_count == SENDERS_MAX)
			who--;
		else
			sender_count++;
		*who = (struct sender){ node, pid, 0, 0 };
	}
	if (who->run != head->run) {
		who->run = head->run;
		who->next = 0;
	}
	if (head->seq != who->next)
		gaps++;
	who->next = head->seq + 1;
}

/* -- callbacks ------------------------------------------------------------------------------ */

static void on_deliver(cpg_handle_t h, const struct cpg_name *name, uint32_t node, uint32_t pid,
		       void *message, size_t size)
{
	static struct head aligned;
	const struct head *head = message;

	(void)h;
	(void)name;
	if (size < sizeof *head || head->magic != MAGIC) {
		bad++;
		return;
	}
	memcpy(&aligned, message, sizeof aligned);
	switch (aligned.kind) {
	case DATA:
		crc = crc_add(crc_add(crc, &node, sizeof node), message, size);
		count++;
		bytes += size;
		if (!is_whole(head, size, node))
			bad++;
		follow(&aligned, node, pid);
		return;
	case DONE:
		follow(&aligned, node, pid);
		printf("{\"ev\":\"done\",\"from\":%u,\"pid\":%u,\"run\":%u", node, pid, aligned.run);
		tally();
		return;
	case MARK:
		printf("{\"ev\":\"mark\",\"from\":%u,\"label\":\"%.*s\"", node,
		       (int)(size - sizeof *head), (const char *)(head + 1));
		tally();
		crc = 0;
		count = bytes = bad = gaps = 0;
		return;
	default:
		bad++;
	}
}

static void addresses(const char *name, const struct cpg_address *list, size_t n)
{
	printf(",\"%s\":[", name);
	for (size_t i = 0; i < n; i++)
		printf("%s[%u,%u,%u]", i ? "," : "", list[i].nodeid, list[i].pid, list[i].reason);
	printf("]");
}

static void on_view(cpg_handle_t h, const struct cpg_name *name,
		    const struct cpg_address *members, size_t member_count,
		    const struct cpg_address *left, size_t left_count,
		    const struct cpg_address *joined, size_t joined_count)
{
	(void)h;
	(void)name;
	printf("{\"ev\":\"view\"");
	addresses("members", members, member_count);
	addresses("left", left, left_count);
	addresses("joined", joined, joined_count);
	tally();
}

static void on_ring(cpg_handle_t h, struct cpg_ring_id ring, uint32_t member_count,
		    const uint32_t *members)
{
	(void)h;
	printf("{\"ev\":\"ring\",\"rep\":%u,\"seq\":%" PRIu64 ",\"members\":[", ring.nodeid, ring.seq);
	for (uint32_t i = 0; i < member_count; i++)
		printf("%s%u", i ? "," : "", members[i]);
	printf("]");
	tally();
}

/* -- connection ----------------------------------------------------------------------------- */

static void connect_daemon(void)
{
	cpg_model_v1_data_t model = {
		.model = CPG_MODEL_V1,
		.cpg_deliver_fn = on_deliver,
		.cpg_confchg_fn = on_view,
		.cpg_totem_confchg_fn = on_ring,
		.flags = CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF,
	};
	uint64_t limit = now_ns() + CONNECT_NS_MAX;
	cs_error_t rc;

	while ((rc = cpg_model_initialize(&handle, CPG_MODEL_V1, (cpg_model_data_t *)&model, NULL)) != CS_OK) {
		if (now_ns() > limit)
			fail("cpg_model_initialize", rc, 3);
		usleep(5000);
	}
	while ((rc = cpg_local_get(handle, &my_node)) == CS_ERR_TRY_AGAIN && now_ns() < limit)
		usleep(1000);
	if (rc != CS_OK)
		fail("cpg_local_get", rc, 3);
	if ((rc = cpg_fd_get(handle, &cpg_fd)) != CS_OK)
		fail("cpg_fd_get", rc, 3);
	printf("{\"ev\":\"connected\",\"node\":%u,\"pid\":%d", my_node, getpid());
	tally();
}

static void join_or_leave(const char *what, cs_error_t (*call)(cpg_handle_t, const struct cpg_name *))
{
	uint64_t limit = now_ns() + CONNECT_NS_MAX;
	cs_error_t rc;

	while ((rc = call(handle, &group)) == CS_ERR_TRY_AGAIN && now_ns() < limit)
		usleep(1000);
	if (rc != CS_OK)
		fail(what, rc, 3);
	printf("{\"ev\":\"%s\"", what);
	tally();
}

static void show_members(void)
{
	struct cpg_address list[CPG_MEMBERS_MAX];
	int n = CPG_MEMBERS_MAX;
	cs_error_t rc;

	while ((rc = cpg_membership_get(handle, &group, list, &n)) == CS_ERR_TRY_AGAIN)
		usleep(1000);
	if (rc != CS_OK)
		fail("cpg_membership_get", rc, 3);
	printf("{\"ev\":\"members\"");
	addresses("members", list, (size_t)n);
	tally();
}

/* -- sending -------------------------------------------------------------------------------- */

static void reserve(size_t size)
{
	if (size > buffer_bytes) {
		buffer = realloc(buffer, size);
		buffer_bytes = size;
	}
}

/* 1 when the daemon took it, 0 when it asks to try again. */
static int multicast(enum kind kind, uint32_t seq, size_t size)
{
	struct head *head = (struct head *)buffer;
	struct iovec piece = { .iov_base = buffer, .iov_len = size };
	cs_error_t rc;

	*head = (struct head){ MAGIC, (uint16_t)kind, (uint16_t)run, seq, (uint32_t)size, my_node, 0 };
	if (kind == DATA)
		fill(head, size);
	rc = cpg_mcast_joined(handle, CPG_TYPE_AGREED, &piece, 1);
	if (rc == CS_ERR_TRY_AGAIN)
		return 0;
	if (rc != CS_OK)
		fail("cpg_mcast_joined", rc, rc == CS_ERR_LIBRARY || rc == CS_ERR_BAD_HANDLE ? 4 : 3);
	return 1;
}

/* Send what is due; the answer is how long the caller may sleep, in ms. */
static int send_some(void)
{
	for (int i = 0; i < BURST && to_send; i++) {
		if (gap_us && now_ns() < next_send_ns)
			return 1;
		if (!multicast(sent < to_send ? DATA : DONE, sent, sent < to_send ? message_bytes : sizeof(struct head)))
			return 1;
		next_send_ns = now_ns() + gap_us * 1000ull;
		if (sent++ == to_send)
			to_send = 0;
	}
	return to_send ? 0 : 1000;
}

static void start_sending(const char *arguments)
{
	unsigned messages = 0, size = 0, gap = 0;

	if (to_send || sscanf(arguments, "%u %u %u", &messages, &size, &gap) < 2 || !messages)
		fail("send", EINVAL, 3);
	message_bytes = size < sizeof(struct head) ? sizeof(struct head) : size;
	reserve(message_bytes);
	to_send = messages;
	sent = 0;
	gap_us = gap;
	run++;
}

static void send_mark(const char *label)
{
	size_t size = sizeof(struct head) + strlen(label);

	reserve(size);
	memcpy(buffer + sizeof(struct head), label, strlen(label));
	while (!multicast(MARK, 0, size))
		usleep(1000);
}

/* -- the loop ------------------------------------------------------------------------------- */

static void obey(char *line)
{
	if (!strncmp(line, "send ", 5))
		start_sending(line + 5);
	else if (!strncmp(line, "mark ", 5))
		send_mark(line + 5);
	else if (!strcmp(line, "report")) {
		printf("{\"ev\":\"report\",\"sent\":%u", sent);
		tally();
	} else if (!strcmp(line, "members"))
		show_members();
	else if (!strcmp(line, "leave"))
		join_or_leave("leave", cpg_leave);
	else if (!strcmp(line, "quit")) {
		cpg_finalize(handle);
		exit(0);
	} else
		fail("command", EINVAL, 3);
}

static void read_commands(void)
{
	static char text[4096];
	static size_t used;
	ssize_t got = read(0, text + used, sizeof text - used - 1);
	char *end, *start = text;

	if (got <= 0) {
		cpg_finalize(handle);
		exit(0);
	}
	used += (size_t)got;
	text[used] = 0;
	while ((end = strchr(start, '\n'))) {
		*end = 0;
		obey(start);
		start = end + 1;
	}
	used -= (size_t)(start - text);
	memmove(text, start, used);
}

int main(int argc, char **argv)
{
	if (argc != 2 || strlen(argv[1]) > CPG_MAX_NAME_LENGTH)
		return 2;
	group.length = (uint32_t)strlen(argv[1]);
	memcpy(group.value, argv[1], group.length);
	crc_setup();
	reserve(sizeof(struct head));
	connect_daemon();
	join_or_leave("join", cpg_join);
	for (;;) {
		struct pollfd fds[2] = { { .fd = cpg_fd, .events = POLLIN }, { .fd = 0, .events = POLLIN } };
		int sleep_ms = to_send ? send_some() : 1000;
		cs_error_t rc;

		if (poll(fds, 2, sleep_ms) < 0 && errno != EINTR)
			fail("poll", errno, 3);
		if (fds[0].revents) {
			rc = cpg_dispatch(handle, CS_DISPATCH_ALL);
			if (rc != CS_OK && rc != CS_ERR_TRY_AGAIN)
				fail("cpg_dispatch", rc, 4);
		}
		if (fds[1].revents)
			read_commands();
	}
}
