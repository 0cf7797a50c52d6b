/* A libcpg client: joins, sends numbered messages, checks that each comes back in order and intact.
 *
 *   cpg_probe COUNT SIZE          COUNT messages of SIZE bytes (above 1047552 libcpg sends fragments)
 *   cpg_probe COUNT SIZE hang     joins, prints "joined" and sleeps until it is killed
 *   cpg_probe COUNT SIZE lazy     sends all before it reads any delivery
 *
 * Prints one line of JSON and exits 0 if all came back.
 */
#include <corosync/cpg.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static unsigned joined, gone, received, bad, rings;
static size_t size;

static unsigned char at(unsigned number, size_t i) { return (unsigned char)(number * 7 + i * 13 + (i >> 8)); }

static void deliver(cpg_handle_t h, const struct cpg_name *group, uint32_t node, uint32_t pid, void *data, size_t len)
{
	unsigned char *bytes = data;

	(void)h;
	if (len != size || pid != (uint32_t)getpid() || node == 0 || group->length != 5)
		bad++;
	else
		for (size_t i = 0; i < len; i++)
			if (bytes[i] != at(received, i)) {
				bad++;
				break;
			}
	received++;
}

static void confchg(cpg_handle_t h, const struct cpg_name *group, const struct cpg_address *members, size_t n_members,
		    const struct cpg_address *left, size_t n_left, const struct cpg_address *join, size_t n_join)
{
	(void)h, (void)group, (void)members, (void)n_members;
	for (size_t i = 0; i < n_join; i++)
		joined += join[i].pid == (uint32_t)getpid() && join[i].reason == CPG_REASON_JOIN;
	for (size_t i = 0; i < n_left; i++)
		gone += left[i].pid == (uint32_t)getpid() && left[i].reason == CPG_REASON_LEAVE;
}

static void ring(cpg_handle_t h, struct cpg_ring_id id, uint32_t n, const uint32_t *members)
{
	(void)h, (void)id, (void)members;
	rings += n > 0;
}

static void must(const char *what, cs_error_t error)
{
	if (error != CS_OK) {
		printf("{\"failed\": \"%s\", \"error\": %d}\n", what, error);
		exit(1);
	}
}

static void wait_for(cpg_handle_t h, const unsigned *what, unsigned n)
{
	int fd;

	must("fd_get", cpg_fd_get(h, &fd));
	while (*what < n) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		if (poll(&p, 1, 10000) != 1) {
			printf("{\"failed\": \"wait\", \"received\": %u}\n", received);
			exit(1);
		}
		must("dispatch", cpg_dispatch(h, CS_DISPATCH_ONE));
	}
}

int main(int argc, char **argv)
{
	unsigned count = argc > 1 ? atoi(argv[1]) : 100;
	const char *mode = argc > 3 ? argv[3] : "";
	cpg_model_v1_data_t model = { .cpg_deliver_fn = deliver, .cpg_confchg_fn = confchg, .cpg_totem_confchg_fn = ring,
				      .flags = CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF };
	struct cpg_name name = { .length = 5, .value = "probe" };
	struct cpg_address members[CPG_MEMBERS_MAX];
	struct timespec a, b;
	int n_members = CPG_MEMBERS_MAX;
	unsigned node, again = 0;
	unsigned char *message;
	cpg_handle_t h;
	cs_error_t error;

	size = argc > 2 ? strtoul(argv[2], NULL, 10) : 64;
	message = malloc(size + 1);
	must("initialize", cpg_model_initialize(&h, CPG_MODEL_V1, (cpg_model_data_t *)&model, NULL));
	must("local_get", cpg_local_get(h, &node));
	must("join", cpg_join(h, &name));
	wait_for(h, &joined, 1);
	wait_for(h, &rings, 1);
	must("membership_get", cpg_membership_get(h, &name, members, &n_members));
	if (!strcmp(mode, "hang")) {
		printf("joined %u\n", node);
		fflush(stdout);
		pause();
	}
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (unsigned i = 0; i < count; i++) {
		struct iovec iov = { .iov_base = message, .iov_len = size };

		for (size_t k = 0; k < size; k++)
			message[k] = at(i, k);
		while ((error = cpg_mcast_joined(h, CPG_TYPE_AGREED, &iov, 1)) == CS_ERR_TRY_AGAIN) {
			again++;
			must("dispatch", cpg_dispatch(h, CS_DISPATCH_ALL));
		}
		must("mcast", error);
		if (strcmp(mode, "lazy"))
			must("dispatch", cpg_dispatch(h, CS_DISPATCH_ALL));
	}
	wait_for(h, &received, count);
	clock_gettime(CLOCK_MONOTONIC, &b);
	must("leave", cpg_leave(h, &name));
	wait_for(h, &gone, 1);
	must("finalize", cpg_finalize(h));
	printf("{\"node\": %u, \"members\": %d, \"received\": %u, \"bad\": %u, \"again\": %u, \"seconds\": %.6f}\n", node,
	       n_members, received, bad, again, (b.tv_sec - a.tv_sec) + (b.tv_nsec - a.tv_nsec) / 1e9);
	return bad || received != count;
}
