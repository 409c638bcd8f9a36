/* The daemon's end of the slots, as far as the tests need it:
 *
 *     daemon MODE HALF COMMAND...
 *
 * starts the command with the wake pipe on descriptor 3 and the shared memory on
 * descriptor 4, and says "ok" when everything went as it should. */
#define _GNU_SOURCE
#include "../control.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Milliseconds; under valgrind on a busy machine everything takes long. */
#define RR_PATIENCE 300000

static rr_control *control;
static uint32_t half;
static int woken; /* read end of the wake pipe */
static pid_t worker;

#define CHECK(condition, ...) \
	do { \
		if (!(condition)) { \
			printf("line %d: ", __LINE__); \
			printf(__VA_ARGS__); \
			printf("\n"); \
			if (worker > 0) kill(worker, SIGKILL); \
			exit(1); \
		} \
	} while (0)

static unsigned char *half_of(int which)
{
	return (unsigned char *) control + RR_CONTROL_SIZE + (size_t) which * half + RR_BODY_OFFSET;
}

static uint32_t random32(void)
{
	static uint64_t state = 88172645463325252ull;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t) (state >> 16);
}

static void start(char **argv)
{
	int p[2], fd = memfd_create("rr", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t size = RR_CONTROL_SIZE + 2 * (size_t) half;

	CHECK(fd >= 0 && ftruncate(fd, (off_t) size) == 0 && pipe2(p, O_CLOEXEC) == 0, "start: %s", strerror(errno));
	CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0, "seals: %s", strerror(errno));
	control = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(control != MAP_FAILED, "mmap: %s", strerror(errno));
	control->magic = RR_MAGIC;
	control->version = RR_VERSION;
	control->half = half;
	fflush(stdout);
	worker = fork();
	if (worker == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Beyond 4 first: one of them may be 3 or 4 itself. */
		int ctl = fcntl(p[1], F_DUPFD, 10), shm = fcntl(fd, F_DUPFD, 10);
		dup2(ctl, 3);
		dup2(shm, 4);
		close(ctl);
		close(shm);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(p[1]);
	close(fd);
	woken = p[0];
}

static void send_entry(uint32_t flags, uint32_t stream, uint32_t context, uint32_t part)
{
	rr_entry *request = &control->request;

	request->flags = flags;
	request->stream = stream;
	request->context = context;
	request->part = part;
	__atomic_store_n(&request->seq, request->seq + 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&request->waits, __ATOMIC_SEQ_CST)) {
		syscall(SYS_futex, &request->seq, FUTEX_WAKE, 1, NULL, NULL, 0);
	}
}

static uint32_t wait_entry(void)
{
	rr_entry *response = &control->response;
	uint32_t expected = control->request.seq, seq;

	__atomic_store_n(&response->waits, 1, __ATOMIC_SEQ_CST);
	while ((seq = __atomic_load_n(&response->seq, __ATOMIC_SEQ_CST)) != expected) {
		struct pollfd p = {woken, POLLIN, 0};
		char bytes[64];

		CHECK(poll(&p, 1, RR_PATIENCE) == 1, "no answer to request %u", expected);
		ssize_t n = read(woken, bytes, sizeof(bytes));
		CHECK(n > 0, "the worker has ended");
		for (ssize_t i = 0; i < n; i++) {
			CHECK(bytes[i] == 0, "byte %d on the pipe", bytes[i]);
		}
	}
	__atomic_store_n(&response->waits, 0, __ATOMIC_SEQ_CST);
	return seq;
}

static void stop(void)
{
	int status;

	memcpy(half_of(0), "{\"stop\":true}", 13);
	send_entry(RR_CONTROL | 0x08, 0, 0, 13);
	CHECK(waitpid(worker, &status, 0) == worker, "waitpid: %s", strerror(errno));
	CHECK(status == 0, "the worker ended with status %#x", status);
}

/* Waits until the worker sleeps. */
static void asleep(void)
{
	struct timespec t = {0, 1000000};

	while (!__atomic_load_n(&control->request.waits, __ATOMIC_SEQ_CST)) {
		nanosleep(&t, NULL);
	}
}

/* Random lengths, the borders among them; the worker answers with the same bytes. */
static void echo(int n)
{
	uint32_t room = half - RR_BODY_OFFSET;

	for (int i = 0; i < n; i++) {
		uint32_t context = random32() % (random32() % 200 + 1), part = random32() % (room - context + 1);

		if (i % 7 == 0) {
			part = room - context;
		} else if (i % 7 == 1) {
			part = 0;
		} else if (i % 7 < 6) {
			part %= 100;
		}
		for (uint32_t j = 0; j < context + part; j++) {
			half_of(0)[j] = (unsigned char) random32();
		}
		if (i % 50 == 0) {
			asleep();
		}
		send_entry(4, i & 1 ? 0x10 : 0, context, part);
		CHECK(wait_entry() == control->request.seq, "a stray answer");
		CHECK(control->request.mark == control->request.seq, "the request was not marked");
		CHECK(control->response.flags == 4 && control->response.stream == 0, "flags %u %u", control->response.flags, control->response.stream);
		CHECK(control->response.context == context && control->response.part == part, "lengths %u %u of %u %u", control->response.context, control->response.part, context, part);
		CHECK(memcmp(half_of(0), half_of(1), context + part) == 0, "other bytes");
	}
	stop();
}

/* Answers that go over the pipe, or that nobody has asked for. */
static void piped(void)
{
	static const char *const orders[] = {"large", "stream", "pipe", "large"};

	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		memcpy(half_of(0), orders[i], strlen(orders[i]));
		send_entry(0, 0, 0, (uint32_t) strlen(orders[i]));
		CHECK(wait_entry() == control->request.seq, "a stray answer");
		CHECK(control->response.stream == RR_PIPE && control->response.part == 0, "%s", orders[i]);
	}
	/* The lengths count for nothing then, and there is no entry for the answer. */
	send_entry(0, RR_PIPE, 99, 99);
	struct timespec t = {0, 1000000};
	for (int i = 0; __atomic_load_n(&control->request.mark, __ATOMIC_SEQ_CST) != control->request.seq; i++) {
		CHECK(i < RR_PATIENCE, "the order to look at the pipe was not taken");
		nanosleep(&t, NULL);
	}
	asleep();
	CHECK(control->response.seq == control->request.seq - 1, "an entry for an answer in the pipe");
	CHECK(control->response.mark == 0, "marked too early");
	memcpy(half_of(0), "twice", 5);
	send_entry(0, 0, 0, 5);
	for (int i = 0; __atomic_load_n(&control->response.mark, __ATOMIC_SEQ_CST) == 0; i++) {
		CHECK(i < RR_PATIENCE, "the second answer is not marked");
		nanosleep(&t, NULL);
	}
	CHECK(control->response.seq == control->request.seq && control->response.part == 1 && half_of(1)[0] == 'x', "the first answer is gone");
	stop();
}

/* Signals while the worker sleeps reach the application's handlers. */
static void signals(void)
{
	char text[32];

	for (int i = 1; i <= 5; i++) {
		asleep();
		kill(worker, SIGUSR1);
		/* The handler writes its count where nothing else does. */
		struct timespec t = {0, 1000000};
		for (int j = 0; half_of(1)[1000] != i; j++) {
			CHECK(j < 10000, "the handler did not run for signal %d", i);
			nanosleep(&t, NULL);
		}
	}
	memcpy(half_of(0), "count", 5);
	send_entry(0, 0, 0, 5);
	CHECK(wait_entry() == control->request.seq, "a stray answer");
	snprintf(text, sizeof(text), "%.*s", (int) control->response.part, half_of(1));
	CHECK(strcmp(text, "5") == 0, "%s signals", text);
	stop();
}

/* A daemon that breaks its own rules: the worker says so and ends. */
static void broken(const char *how)
{
	int status;

	asleep();
	if (strcmp(how, "length") == 0) {
		send_entry(0, 0, 0xffffffff, 0xffffffff);
	} else if (strcmp(how, "edge") == 0) {
		send_entry(0, 0, 1, half - RR_BODY_OFFSET);
	} else if (strcmp(how, "flags") == 0) {
		send_entry(0x100, 0, 0, 0);
	} else {
		control->request.seq++;
		send_entry(0, 0, 0, 0);
	}
	CHECK(waitpid(worker, &status, 0) == worker && WIFEXITED(status), "waitpid: %#x", status);
	printf("exit %d\n", WEXITSTATUS(status));
}

int main(int argc, char **argv)
{
	CHECK(argc > 3, "usage: daemon MODE HALF COMMAND...");
	half = (uint32_t) atoi(argv[2]);
	start(argv + 3);
	if (strcmp(argv[1], "echo") == 0) {
		echo(3000);
	} else if (strcmp(argv[1], "piped") == 0) {
		piped();
	} else if (strcmp(argv[1], "signals") == 0) {
		signals();
	} else {
		broken(argv[1]);
	}
	printf("ok\n");
	return 0;
}
