//@ always
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/android/binder.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

//@ POLLIN
#include <poll.h>

//@ epoll
#include <sys/epoll.h>

//@ set_user
#include <grp.h>

//@ setpriority SYS_getpriority
#include <sys/resource.h>

//@ setrlimit RLIMIT_NICE
#include <sys/resource.h>

//@ count_descriptors
#include <dirent.h>

//@ identity_of
#include <sys/resource.h>
#include <sys/stat.h>

//@ always
/* What headers before Linux 6.12 lack. */
struct frozen_state {
	binder_uintptr_t cookie;
	__u32 is_frozen;
	__u32 reserved;
};
#ifndef BR_TRANSACTION_PENDING_FROZEN
#define BR_TRANSACTION_PENDING_FROZEN _IO('r', 20)
#endif
#ifndef BR_FROZEN_BINDER
#define BR_FROZEN_BINDER _IOR('r', 21, struct frozen_state)
#endif
#ifndef BR_CLEAR_FREEZE_NOTIFICATION_DONE
#define BR_CLEAR_FREEZE_NOTIFICATION_DONE _IOR('r', 22, binder_uintptr_t)
#endif

//@ BC_REQUEST_FREEZE_NOTIFICATION BC_CLEAR_FREEZE_NOTIFICATION BC_FREEZE_NOTIFICATION_DONE
#ifndef BC_REQUEST_FREEZE_NOTIFICATION
#define BC_REQUEST_FREEZE_NOTIFICATION _IOW('c', 19, struct binder_handle_cookie)
#endif
#ifndef BC_CLEAR_FREEZE_NOTIFICATION
#define BC_CLEAR_FREEZE_NOTIFICATION _IOW('c', 20, struct binder_handle_cookie)
#endif
#ifndef BC_FREEZE_NOTIFICATION_DONE
#define BC_FREEZE_NOTIFICATION_DONE _IOW('c', 21, binder_uintptr_t)
#endif

//@ UNMAPPED
/* An address at which there is no memory. */
#define UNMAPPED 0x1fffffff0000ULL

//@ always
/* How long something may take before it hangs, and how long the driver may take for what it does later, in microseconds. */
#define PATIENCE 20000000
#define LATER 50000

//@ always
/* A thread of the script. The first one of each process is the process. What is shared is shared by all of them. */
enum { IDLE, BUSY, IN_DRIVER };

struct thread {
	sem_t go;          /* there is a step for it */
	_Atomic int state; /* IN_DRIVER if it is in an ioctl or a poll, and perhaps asleep in it */
	_Atomic int alive;
	pid_t pid, tid;
	int process;
	int step;      /* the step */
	bool looks;    /* it is not to do the step, but to see what came of it, or of one before it */
	bool is_right; /* that is as expected */
	bool pending;  /* it sleeps in a call, or has returned from one, and no step has looked at that */
	bool woken;    /* that has been told */
	char difference[1024];
};

//@ always
struct step {
	int actor; /* who does it */
	int line;
	const char *text;
	void (*act)(void);   /* what it does; not if it awaits the end of a call */
	bool (*check)(void); /* whether what came is what must come */
	int flags;
	const int *candidates; /* the threads of which one has been woken, which is the actor from here on */
};

/* A step may leave its thread asleep; it may be the end of a call before it; it lets time pass until the call
 * returns; the driver does a part of it later; it is done by the first process of all. */
enum { MAY_PARK = 1, MAY_AWAIT = 2, TAKES_TIME = 4, SETTLES_LATER = 8, CONDUCTED = 16, ENDS = 32 };

//@ identity
/* What tells one open file from another: its inode, its position, and of a binder device the byte of it that was
 * locked when it was opened. */
struct identity {
	dev_t device;
	ino_t inode;
	int access;
	long long position, lock;
};

//@ head

//@ always
static struct {
	struct thread threads[THREADS];
	struct names names; /* what the driver chose */
} *shared;

static const struct step steps[STEPS];
static const char *const thread_names[THREADS];
static const char *device_path = "/dev/binder";

//@ names
static struct names *names;

//@ always
static int aliases[THREADS + ALIASES]; /* of the names that scripts give to whichever thread was woken */

//@ always
static void *serve(void *thread);
static int process; /* which one this is */

//@ device
static int device = -1; /* what its calls go to */

//@ opened
static int opened; /* how many times the device has been opened; only who opens it last matters */

//@ epoll
static int epoll = -1;

//@ mappings
static struct {
	void *address;
	size_t length;
} mappings[64];
static int mapped;

//@ always
/* Of a thread. */
static __thread struct thread *self;

//@ written_error
static __thread int written_error;                 /* how the writing must end */
static __thread unsigned long long written_amount; /* how many bytes of commands must be consumed */
enum { ANY_AMOUNT = -1 };

//@ result
static __thread long result; /* of the last call */

//@ error
static __thread int error; /* its errno, or 0 */

//@ given
static __thread struct binder_write_read given; /* the argument of the last BINDER_WRITE_READ */

//@ read_began
static __thread unsigned long long read_began, write_asked; /* what it was told */

//@ returns
struct returned {
	__u32 code;
	const unsigned char *argument;
};
static __thread struct returned *returns; /* what it read, without the BR_NOOP that opens it */
static __thread int returned;

//@ commands COMMANDS_SIZE READS_SIZE PAYLOADS_SIZE
/* Memory for commands, which end where it ends, so that a driver that reads too far faults; for returns; for payloads.
 * Each thread has its own, at addresses that are the same in every process, as binderdrill has it. */
#define COMMANDS_SIZE 0x40000
#define READS_SIZE 0x40000
#define PAYLOADS_SIZE 0x1000000
static __thread unsigned char *commands, *reads, *payloads;
static __thread size_t written, payload_length;

//@ ioctl_argument
static __thread union {
	int number;
	__u32 word;
	__s64 number64;
	struct binder_version version;
	struct flat_binder_object object;
	struct binder_node_debug_info debug_info;
	struct binder_node_info_for_ref info_for_ref;
	struct binder_freeze_info freeze;
	struct binder_frozen_status_info frozen;
	struct binder_extended_error extended;
} ioctl_argument;

//@ always
/* Ends everything: no bug of the driver, but something is missing here. */
static _Noreturn void give_up(const char *what)
{
	dprintf(2, "%s: %s\n", what, strerror(errno));
	for (int t = 0; t < THREADS; t++)
		if (shared && shared->threads[t].alive && shared->threads[t].pid != getpid())
			kill(shared->threads[t].pid, SIGKILL);
	_exit(2);
}

//@ differs EXPECT
/* Keeps how a step differs from what must come. */
static bool differs(const char *expected)
{
	snprintf(self->difference, sizeof(self->difference), "this does not hold: %.900s", expected);
	return false;
}

#define EXPECT(condition)                          \
	do {                                       \
		if (!(condition))                  \
			return differs(#condition); \
	} while (0)

//@ came
/* Keeps what a system call returned. */
static void came(long returned_value)
{
	result = returned_value;
	error = returned_value < 0 ? errno : 0;
}

//@ fails_with
/* What the harness itself refuses, as a system call would. */
static void fails_with(int number)
{
	result = -1;
	error = number;
}

//@ call_driver
static void call_driver(unsigned long request, void *at)
{
	self->state = IN_DRIVER;
	came(ioctl(device, request, at));
	self->state = BUSY;
}

//@ say_error
static const char *error_name(int number)
{
	const char *name = number ? strerrorname_np(number) : "success";

	return name ? name : "an error without a name";
}

static void say_error(void)
{
	dprintf(1, "        = %s\n", error_name(error));
}

//@ say_value
static void say_value(long value)
{
	if (error)
		say_error();
	else
		dprintf(1, "        = %ld\n", value);
}

//@ say_scheduling
static void say_scheduling(void)
{
	if (error)
		say_error();
	else
		dprintf(1, "        = success, policy %d, priority %ld\n", (int)result, (long)(result >> 32));
}

//@ say_events
static void say_events(void)
{
	static const struct {
		int event;
		const char *name;
	} known[] = { { POLLIN, "POLLIN" }, { POLLERR, "POLLERR" }, { POLLHUP, "POLLHUP" }, { POLLNVAL, "POLLNVAL" } };
	const char *sign = "";

	if (error) {
		say_error();
		return;
	}
	dprintf(1, "        = ");
	for (int i = 0; i < 4; i++) {
		if (result & known[i].event) {
			dprintf(1, "%s%s", sign, known[i].name);
			sign = " | ";
		}
	}
	dprintf(1, "%s\n", *sign ? "" : "0");
}

//@ events_found
static int events_found(void)
{
	return error ? -1 : (int)result & (POLLIN | POLLERR | POLLHUP | POLLNVAL);
}

//@ area
/* Memory with nothing behind it. */
static unsigned char *area(int which, size_t size)
{
	uintptr_t at = 0x200000000000 + which * 0x2000000ULL;
	void *memory;

	for (const struct thread *other = shared->threads; other < self; other++)
		if (other->process == self->process)
			at += 0x10000000;
	memory = mmap((void *)at, size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (memory == MAP_FAILED)
		give_up("no memory");
	return memory;
}

//@ put
/* Adds to the commands that are about to be written. */
static void put(const void *bytes, size_t size)
{
	if (!commands) {
		commands = area(1, COMMANDS_SIZE);
		reads = area(2, READS_SIZE);
		payloads = area(3, PAYLOADS_SIZE);
	}
	if (written + size > COMMANDS_SIZE)
		give_up("more commands than there is room for");
	memcpy(commands + written, bytes, size);
	written += size;
}

//@ put_code
static void put_code(__u32 code)
{
	put(&code, sizeof(code));
}

//@ put_number
static void put_number(__u32 code, __u32 number)
{
	put_code(code);
	put(&number, sizeof(number));
}

//@ put_address
static void put_address(__u32 code, binder_uintptr_t address)
{
	put_code(code);
	put(&address, sizeof(address));
}

//@ put_node
static void put_node(__u32 code, binder_uintptr_t ptr, binder_uintptr_t cookie)
{
	struct binder_ptr_cookie node = { .ptr = ptr, .cookie = cookie };

	put_code(code);
	put(&node, sizeof(node));
}

//@ put_handle_cookie
static void put_handle_cookie(__u32 code, __u32 handle, binder_uintptr_t cookie)
{
	struct binder_handle_cookie both = { .handle = handle, .cookie = cookie };

	put_code(code);
	put(&both, sizeof(both));
}

//@ put_transaction
static void put_transaction(__u32 code, struct binder_transaction_data transaction)
{
	put_code(code);
	put(&transaction, sizeof(transaction));
}

//@ put_transaction_sg
static void put_transaction_sg(__u32 code, struct binder_transaction_data transaction, binder_size_t buffers_size)
{
	put_transaction(code, transaction);
	put(&buffers_size, sizeof(buffers_size));
}

//@ payload
/* Room for a payload, a table of offsets or a buffer; all of it 0, and some more behind. */
static unsigned char *payload(size_t size)
{
	unsigned char *memory;

	put(NULL, 0);
	memory = payloads + payload_length;
	payload_length = (payload_length + size + 64 + 7) & ~7ULL;
	if (payload_length > PAYLOADS_SIZE)
		give_up("more payload than there is room for");
	memset(memory, 0, size + 64);
	return memory;
}

//@ address_of
static binder_uintptr_t address_of(const void *memory)
{
	return (binder_uintptr_t)(uintptr_t)memory;
}

//@ set_u32
static void set_u32(unsigned char *at, __u32 value)
{
	memcpy(at, &value, sizeof(value));
}

//@ set_u64
static void set_u64(unsigned char *at, __u64 value)
{
	memcpy(at, &value, sizeof(value));
}

//@ set_str16
/* A string as Parcel writes it, of so many units. */
static void set_str16(unsigned char *at, const void *text, __u32 length)
{
	set_u32(at, length);
	memcpy(at + 4, text, 2 * length);
}

//@ set_object
static void set_object(unsigned char *at, struct flat_binder_object object)
{
	memcpy(at, &object, sizeof(object));
}

//@ set_fd
static void set_fd(unsigned char *at, struct binder_fd_object object)
{
	memcpy(at, &object, sizeof(object));
}

//@ set_fd_array
static void set_fd_array(unsigned char *at, struct binder_fd_array_object object)
{
	memcpy(at, &object, sizeof(object));
}

//@ set_buffer
static void set_buffer(unsigned char *at, struct binder_buffer_object object)
{
	memcpy(at, &object, sizeof(object));
}

//@ set_offsets
static void set_offsets(unsigned char *at, int count, const binder_size_t *offsets)
{
	memcpy(at, offsets, count * sizeof(*offsets));
}

//@ write_read
/* Does a BINDER_WRITE_READ with what has been put, and room to read. Fields that a well-behaved process would have set
 * otherwise are given; the others are -1. */
struct departures {
	long long write_size, write_consumed, read_consumed;
	bool no_write_buffer, no_read_buffer;
};

static void write_read(unsigned long long read_size, const struct departures *other)
{
	unsigned long long zeroes = read_size < READS_SIZE - 64 ? read_size + 64 : READS_SIZE;
	unsigned char *end;

	put(NULL, 0);
	end = commands + COMMANDS_SIZE - written;
	memmove(end, commands, written);
	if (read_size)
		memset(reads, 0, zeroes);
	given = (struct binder_write_read){
		.write_size = written,
		.write_buffer = (uintptr_t)end,
		.read_size = read_size,
		.read_buffer = (uintptr_t)reads,
	};
	if (other && other->write_size >= 0)
		given.write_size = other->write_size;
	if (other && other->write_consumed >= 0)
		given.write_consumed = other->write_consumed;
	if (other && other->read_consumed >= 0)
		given.read_consumed = other->read_consumed;
	if (other && other->no_write_buffer)
		given.write_buffer = UNMAPPED;
	if (other && other->no_read_buffer)
		given.read_buffer = UNMAPPED;
	read_began = given.read_consumed;
	write_asked = given.write_size;
	written = payload_length = 0;
	call_driver(BINDER_WRITE_READ, &given);
}

//@ fetch
/* A copy of what is at an address of this process; NULL if there is no memory. */
static const unsigned char *fetch(binder_uintptr_t address, binder_size_t size)
{
	static const unsigned char nothing[1];
	struct iovec remote = { .iov_base = (void *)(uintptr_t)address, .iov_len = size };
	struct iovec local = { .iov_len = size };

	if (!size)
		return nothing;
	if (size > PAYLOADS_SIZE || !(local.iov_base = malloc(size)))
		return NULL;
	if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != (ssize_t)size)
		return NULL;
	return local.iov_base;
}

//@ u32_at
static __u32 u32_at(const unsigned char *at)
{
	__u32 value;

	memcpy(&value, at, sizeof(value));
	return value;
}

//@ u64_at
static __u64 u64_at(const unsigned char *at)
{
	__u64 value;

	memcpy(&value, at, sizeof(value));
	return value;
}

//@ bytes_at
static bool bytes_at(const unsigned char *at, const void *bytes, size_t size)
{
	return !memcmp(at, bytes, size);
}

//@ zeroes_at
static bool zeroes_at(const unsigned char *at, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (at[i])
			return false;
	return true;
}

//@ str16_at
static bool str16_at(const unsigned char *at, const void *text, __u32 length)
{
	size_t bytes = 2 * length;

	return u32_at(at) == length && !memcmp(at + 4, text, bytes) &&
	       zeroes_at(at + 4 + bytes, ((bytes + 2 + 3) & ~3UL) - bytes);
}

//@ object_at
static struct flat_binder_object object_at(const unsigned char *at)
{
	struct flat_binder_object object;

	memcpy(&object, at, sizeof(object));
	return object;
}

//@ fd_at
static struct binder_fd_object fd_at(const unsigned char *at)
{
	struct binder_fd_object object;

	memcpy(&object, at, sizeof(object));
	return object;
}

//@ fd_array_at
static struct binder_fd_array_object fd_array_at(const unsigned char *at)
{
	struct binder_fd_array_object object;

	memcpy(&object, at, sizeof(object));
	return object;
}

//@ buffer_at
static struct binder_buffer_object buffer_at(const unsigned char *at)
{
	struct binder_buffer_object object;

	memcpy(&object, at, sizeof(object));
	return object;
}

//@ arrived
/* The call, message or reply that came at this place, if one did. */
static struct binder_transaction_data arrived(int place)
{
	struct binder_transaction_data transaction;

	memcpy(&transaction, returns[place].argument, sizeof(transaction));
	return transaction;
}

//@ node_came
static bool node_came(int place, binder_uintptr_t ptr, binder_uintptr_t cookie)
{
	struct binder_ptr_cookie node;

	memcpy(&node, returns[place].argument, sizeof(node));
	return node.ptr == ptr && node.cookie == cookie;
}

//@ number_came
static int number_came(int place)
{
	return (int)u32_at(returns[place].argument);
}

//@ cookie_came
static binder_uintptr_t cookie_came(int place)
{
	return u64_at(returns[place].argument);
}

//@ frozen_came
static struct frozen_state frozen_came(int place)
{
	struct frozen_state state;

	memcpy(&state, returns[place].argument, sizeof(state));
	return state;
}

//@ offsets_are
static bool offsets_are(struct binder_transaction_data transaction, int count, const binder_size_t *offsets)
{
	const unsigned char *table = fetch(transaction.data.ptr.offsets, transaction.offsets_size);

	return table && transaction.offsets_size == count * sizeof(*offsets) &&
	       !memcmp(table, offsets, count * sizeof(*offsets));
}

//@ is_own_security_context
/* Whether the caller's security context is what the security module calls the processes of this program, all alike. */
static bool is_own_security_context(int place)
{
	char context[4096];
	struct binder_transaction_data_secctx both;
	const unsigned char *arrived_context;
	ssize_t length;
	int file;

	memcpy(&both, returns[place].argument, sizeof(both));
	file = open("/proc/self/attr/current", O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return false;
	length = read(file, context, sizeof(context));
	close(file);
	while (length > 0 && (context[length - 1] == '\n' || !context[length - 1]))
		length--;
	if (length <= 0)
		return false;
	arrived_context = fetch(both.secctx, length);
	return arrived_context && !memcmp(arrived_context, context, length);
}

//@ is_security_context
static bool is_security_context(int place, const char *context)
{
	struct binder_transaction_data_secctx both;
	const unsigned char *arrived_context;

	memcpy(&both, returns[place].argument, sizeof(both));
	arrived_context = fetch(both.secctx, strlen(context) + 1);
	return arrived_context && !memcmp(arrived_context, context, strlen(context) + 1);
}

//@ return_name
static const char *return_name(__u32 code)
{
	switch (code) {
#define NAME(code) case code: return #code;
	NAME(BR_ERROR) NAME(BR_OK) NAME(BR_TRANSACTION) NAME(BR_TRANSACTION_SEC_CTX) NAME(BR_REPLY)
	NAME(BR_ACQUIRE_RESULT) NAME(BR_DEAD_REPLY) NAME(BR_TRANSACTION_COMPLETE) NAME(BR_INCREFS)
	NAME(BR_ACQUIRE) NAME(BR_RELEASE) NAME(BR_DECREFS) NAME(BR_ATTEMPT_ACQUIRE) NAME(BR_NOOP)
	NAME(BR_SPAWN_LOOPER) NAME(BR_FINISHED) NAME(BR_DEAD_BINDER) NAME(BR_CLEAR_DEATH_NOTIFICATION_DONE)
	NAME(BR_FAILED_REPLY) NAME(BR_FROZEN_REPLY) NAME(BR_ONEWAY_SPAM_SUSPECT)
	NAME(BR_TRANSACTION_PENDING_FROZEN) NAME(BR_FROZEN_BINDER) NAME(BR_CLEAR_FREEZE_NOTIFICATION_DONE)
#undef NAME
	}
	return NULL;
}

//@ say_returns
/* Says what a BINDER_WRITE_READ came to. */
static void say_returns(void)
{
	dprintf(1, "        = %s", error_name(error));
	if (given.write_consumed)
		dprintf(1, ", write_consumed %llu", (unsigned long long)given.write_consumed);
	if (given.read_consumed)
		dprintf(1, ", read_consumed %llu", (unsigned long long)given.read_consumed);
	dprintf(1, "\n");
	for (int i = 0; i < returned; i++) {
		__u32 code = returns[i].code;

		dprintf(1, "        %s", return_name(code));
		if (code == BR_TRANSACTION || code == BR_TRANSACTION_SEC_CTX || code == BR_REPLY) {
			struct binder_transaction_data t;

			memcpy(&t, returns[i].argument, sizeof(t));
			dprintf(1, " { target { ptr 0x%llx, cookie 0x%llx }, code %u, flags 0x%x, pid %d, euid %u, %llu bytes, %llu bytes of offsets }",
				(unsigned long long)t.target.ptr, (unsigned long long)t.cookie, t.code, t.flags,
				t.sender_pid, t.sender_euid, (unsigned long long)t.data_size,
				(unsigned long long)t.offsets_size);
		} else {
			for (size_t at = 0; at < _IOC_SIZE(code); at += 4)
				dprintf(1, " 0x%x", u32_at(returns[i].argument + at));
		}
		dprintf(1, "\n");
	}
}

//@ take_returns
/* Takes the returns of the last BINDER_WRITE_READ apart, and says them. False if they are not as they must be at all. */
static bool take_returns(void)
{
	unsigned long long at = read_began, end = given.read_consumed;
	bool spawns = false;

	returns = malloc((end > at ? (end - at) / 4 + 2 : 2) * sizeof(*returns));
	returned = 0;
	if (given.read_size && end >= at && given.read_buffer == (uintptr_t)reads && end <= READS_SIZE) {
		if (at >= 4 && u32_at(reads) == BR_SPAWN_LOOPER) {
			returns[returned++] = (struct returned){ .code = BR_SPAWN_LOOPER, .argument = reads + 4 };
			spawns = true;
		}
		while (at + 4 <= end && return_name(u32_at(reads + at))) {
			__u32 code = u32_at(reads + at);

			returns[returned++] = (struct returned){ .code = code, .argument = reads + at + 4 };
			at += 4 + _IOC_SIZE(code);
		}
		if (!read_began && returned && returns[0].code == BR_NOOP)
			returns = returns + 1, returned--;
		else if (!read_began && !error && !(returned && returns[0].code == BR_SPAWN_LOOPER))
			at = end + 1;
	} else {
		at = end;
	}
	say_returns();
	if (!spawns && read_began)
		EXPECT(zeroes_at(reads, read_began < READS_SIZE ? read_began : READS_SIZE));
	EXPECT(at == end && "the returns are well-formed");
	return true;
}

//@ wrote_as_expected
static bool wrote_as_expected(void)
{
	unsigned long long all = write_asked;

	if (!written_error) {
		EXPECT(given.write_consumed == (written_amount == (unsigned long long)ANY_AMOUNT ? all : written_amount));
		return true;
	}
	EXPECT(error == written_error);
	if (written_amount != (unsigned long long)ANY_AMOUNT)
		EXPECT(given.write_consumed == written_amount);
	return true;
}

//@ expect_written
/* Keeps how the writing of the BINDER_WRITE_READ that is about to begin must end. */
static void expect_written(int must_fail_with, unsigned long long amount)
{
	written_error = must_fail_with;
	written_amount = amount;
}

//@ came_list
/* Whether so many returns came, and the call did not fail. */
static bool came_list(int count)
{
	EXPECT(error == 0);
	if (returned != count) {
		snprintf(self->difference, sizeof(self->difference), "%d returns came, not %d", returned, count);
		return false;
	}
	return true;
}

//@ attempt
/* Whether one of several ways fits. What one that does not has learnt is forgotten. */
static bool attempt(bool (*way)(void))
{
	struct names before = *names;

	if (way())
		return true;
	*names = before;
	return false;
}

//@ identity_of
static bool identity_of(int fd, struct identity *identity)
{
	char path[64], line[256];
	struct stat status;
	struct rlimit limit, all;
	FILE *info;

	memset(identity, 0, sizeof(*identity));
	identity->lock = -1;
	if (fd < 0 || fstat(fd, &status))
		return false;
	identity->device = status.st_dev;
	identity->inode = status.st_ino;
	identity->access = fcntl(fd, F_GETFL) & O_ACCMODE;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	/* The script may have left no number for one more. */
	getrlimit(RLIMIT_NOFILE, &limit);
	all.rlim_cur = all.rlim_max = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &all);
	info = fopen(path, "re");
	setrlimit(RLIMIT_NOFILE, &limit);
	if (!info)
		return false;
	while (fgets(line, sizeof(line), info)) {
		char *word = strstr(line, "OFDLCK");

		sscanf(line, "pos: %lld", &identity->position);
		if (word) {
			word = strrchr(line, ' ');
			identity->lock = word ? atoll(word) : -1;
		}
	}
	fclose(info);
	return true;
}

//@ is_same
static bool is_same(const struct identity *a, const struct identity *b)
{
	return a->device == b->device && a->inode == b->inode && a->access == b->access &&
	       a->position == b->position && a->lock == b->lock;
}

//@ learn
/* From here on a descriptor of this process is one for this file of the script. */
static void learn(int file, int fd)
{
	identity_of(fd, &names->files[file].identity);
	names->files[file].known = true;
	names->files[file].descriptors[process] = fd;
}

//@ is_descriptor_for
static bool is_descriptor_for(int fd, int file)
{
	struct identity identity;

	return identity_of(fd, &identity) && names->files[file].known &&
	       is_same(&identity, &names->files[file].identity) && fcntl(fd, F_GETFD) == FD_CLOEXEC;
}

//@ count_descriptors
/* How many descriptors this process has for files of the script. */
static int count_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	struct dirent *entry;
	int count = 0;

	while (folder && (entry = readdir(folder))) {
		struct identity identity;
		bool is_known = false;

		if (entry->d_name[0] == '.' || !identity_of(atoi(entry->d_name), &identity))
			continue;
		for (int file = 0; file < FILES; file++)
			is_known |= names->files[file].known && is_same(&identity, &names->files[file].identity);
		count += is_known;
	}
	if (folder)
		closedir(folder);
	return count;
}

//@ make_memfd
static void make_memfd(int file)
{
	int fd = memfd_create("file", 0);

	came(fd);
	if (fd >= 0) {
		lseek(fd, file + 1, SEEK_SET);
		learn(file, fd);
	}
}

//@ make_pipe
static void make_pipe(int reading, int writing)
{
	int ends[2];

	came(pipe(ends));
	if (!error) {
		learn(reading, ends[0]);
		learn(writing, ends[1]);
	}
}

//@ duplicate_device
static void duplicate_device(int file)
{
	struct identity identity;

	identity_of(device, &identity);
	for (int known = 0; known < FILES; known++) {
		if (device >= 0 && names->files[known].known && is_same(&identity, &names->files[known].identity)) {
			fails_with(EEXIST);
			return;
		}
	}
	came(dup(device));
	if (!error)
		learn(file, (int)result);
}

//@ use_device
static void use_device(int fd)
{
	struct identity identity;

	if (!identity_of(fd, &identity) || identity.lock < 0) {
		fails_with(EBADF);
		return;
	}
	device = fd;
	came(0);
}

//@ mark_opened
/* Locks a byte of what was opened, so that it can be known by all its descriptors. A driver sees nothing of that. */
static void mark_opened(void)
{
	struct flock byte = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = (long)getpid() * 1000 + ++opened, .l_len = 1 };

	if (fcntl(device, F_OFD_SETLK, &byte))
		give_up("no lock on the device");
}

//@ open_device
/* Opens the device of a context. */
static void open_device(const char *context, int flags)
{
	char path[512];
	const char *slash = strrchr(device_path, '/');

	if (device >= 0) {
		fails_with(EEXIST);
		return;
	}
	if (!context)
		snprintf(path, sizeof(path), "%s", device_path);
	else
		snprintf(path, sizeof(path), "%.*s/%s", (int)(slash ? slash - device_path : 1), slash ? device_path : ".", context);
	came(open(path, O_RDWR | O_CLOEXEC | flags));
	if (!error) {
		device = (int)result;
		mark_opened();
	}
}

//@ close_device
static void close_device(void)
{
	if (device < 0) {
		fails_with(EBADF);
		return;
	}
	came(close(device));
	device = -1;
}

//@ flush_device
static void flush_device(void)
{
	came(close(dup(device)));
}

//@ map_device
static void map_device(uintptr_t at, size_t size, int protection, int sharing)
{
	void *address;

	if (device < 0) {
		fails_with(EBADF);
		return;
	}
	if (at)
		sharing |= MAP_FIXED;
	address = mmap((void *)at, size, PROT_READ | protection, sharing | MAP_NORESERVE, device, 0);
	came(address == MAP_FAILED ? -1 : 0);
	if (!error && mapped < 64) {
		mappings[mapped].address = address;
		mappings[mapped++].length = size;
	}
}

//@ unmap_device
static void unmap_device(void)
{
	if (!mapped) {
		fails_with(EINVAL);
		return;
	}
	mapped--;
	came(munmap(mappings[mapped].address, mappings[mapped].length));
}

//@ poll_descriptor
static void poll_descriptor(int fd, int milliseconds)
{
	struct pollfd polled = { .fd = fd, .events = POLLIN };

	self->state = IN_DRIVER;
	came(poll(&polled, 1, milliseconds));
	self->state = BUSY;
	if (!error)
		result = polled.revents;
}

//@ watch_device
static void watch_device(void)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (device < 0 || epoll >= 0) {
		fails_with(device < 0 ? EBADF : EEXIST);
		return;
	}
	epoll = epoll_create1(EPOLL_CLOEXEC);
	came(epoll_ctl(epoll, EPOLL_CTL_ADD, device, &event));
	if (error) {
		close(epoll);
		epoll = -1;
	}
}

//@ ask_epoll
static void ask_epoll(int milliseconds)
{
	struct epoll_event event = { 0 };

	self->state = IN_DRIVER;
	came(epoll_wait(epoll, &event, 1, milliseconds));
	self->state = BUSY;
	if (!error)
		result = result ? (long)event.events : 0;
}

//@ close_epoll
static void close_epoll(void)
{
	came(close(epoll));
	epoll = -1;
}

//@ set_scheduler
static void set_scheduler(int policy, int priority)
{
	struct sched_param parameters = { .sched_priority = priority };

	came(syscall(SYS_sched_setscheduler, 0, policy, &parameters));
}

//@ ask_scheduler
/* The policy, and above it the priority. */
static void ask_scheduler(void)
{
	struct sched_param parameters = { 0 };
	long policy = syscall(SYS_sched_getscheduler, 0);

	if (policy >= 0 && syscall(SYS_sched_getparam, 0, &parameters) < 0)
		policy = -1;
	came(policy < 0 ? -1 : policy | (long)parameters.sched_priority << 32);
}

//@ limit_nice
static void limit_nice(int pid, int number)
{
	struct rlimit limit = { number, number };

	came(prlimit(pid, RLIMIT_NICE, &limit, NULL));
}

//@ drop_caches
static void drop_caches(void)
{
	int file = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	came(file < 0 ? -1 : write(file, "2", 1) == 1 ? 0 : -1);
	if (file >= 0)
		close(file);
}

//@ limit_descriptors
/* Lets the process have so many descriptors more than it has. */
static void limit_descriptors(int more)
{
	struct rlimit limit;
	int number = 0;

	getrlimit(RLIMIT_NOFILE, &limit);
	while ((rlim_t)number < limit.rlim_max && (fcntl(number, F_GETFD) >= 0 || more--))
		number++;
	limit.rlim_cur = number;
	came(setrlimit(RLIMIT_NOFILE, &limit));
}

//@ send_signal
static void send_signal(int thread)
{
	came(syscall(SYS_tgkill, shared->threads[thread].pid, shared->threads[thread].tid, SIGUSR1));
}

//@ told
/* What the driver tells of itself in a file of a binderfs or of debugfs, whole and to be freed; NULL if it does not. */
static char *told(const char *name)
{
	char path[512];
	const char *slash = strrchr(device_path, '/');
	size_t room = 1 << 16, length = 0;
	char *text = malloc(room);
	ssize_t more;
	int file;

	snprintf(path, sizeof(path), "%.*s/binder_logs/%s", (int)(slash ? slash - device_path : 1), slash ? device_path : ".", name);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/binder/%s", name);
		file = open(path, O_RDONLY | O_CLOEXEC);
	}
	while (text && file >= 0 && (more = read(file, text + length, room - length - 1)) > 0) {
		length += more;
		if (length + 1 == room)
			text = realloc(text, room *= 2);
	}
	if (!text)
		give_up("no memory");
	text[length] = 0;
	if (file >= 0) {
		close(file);
		return text;
	}
	free(text);
	return NULL;
}

//@ counts_objects
/* Whether this is what the driver in C tells, which counts its objects. The one in Rust describes them. */
static bool counts_objects(const char *stats)
{
	return strstr(stats, "\nproc: active ");
}

//@ count_numbers
/* Adds to so many numbers those that stand behind the second of these words, which follow the first. Returns how many there
 * are then. */
static long count_numbers(const char *text, const char *first, const char *before, const char *after, long *numbers, long count)
{
	for (const char *at = text; (at = strstr(at, first)); at++) {
		const char *begin = strstr(at, before);
		char *end = NULL;
		long number = begin ? strtol(begin + strlen(before), &end, 10) : 0;
		long known = 0;

		if (!begin || strncmp(end, after, strlen(after)))
			continue;
		while (known < count && numbers[known] != number)
			known++;
		if (known == count)
			numbers[count++] = number;
	}
	return count;
}

//@ count_described
/* How many objects of a kind the driver in Rust describes; -1 if it does not tell of them. */
static long count_described(const char *kind)
{
	char *state = told("state");
	long *numbers = state ? calloc(strlen(state) + 1, sizeof(*numbers)) : NULL;
	long count = -1;

	if (!numbers)
		return -1;
	if (!strcmp(kind, "thread"))
		count = count_numbers(state, "\n  thread ", "\n  thread ", ":", numbers, 0);
	if (!strcmp(kind, "ref"))
		count = count_numbers(state, "  ref ", "  ref ", ":", numbers, 0);
	if (!strcmp(kind, "transaction"))
		count = count_numbers(state, "transaction ", "transaction ", ": from ", numbers, 0);
	if (!strcmp(kind, "node")) {
		/* A node whose owner is dead is only found in what refers to it. */
		count = count_numbers(state, "\n  node ", "\n  node ", ":", numbers, 0);
		count = count_numbers(state, "  ref ", "node ", " ", numbers, count);
	}
	free(numbers);
	free(state);
	return count;
}

//@ count_alive
/* How many objects of a kind the driver has; -1 if it does not tell. */
static long count_alive(const char *kind)
{
	char *stats = told("stats");
	char line[64];
	const char *found, *processes;
	long count;

	if (!stats)
		return -1;
	if (!counts_objects(stats)) {
		free(stats);
		return count_described(kind);
	}
	snprintf(line, sizeof(line), "\n%s: active ", kind);
	found = strstr(stats, line);
	processes = strstr(stats, "\nproc ");
	count = found && (!processes || found < processes) ? atol(found + strlen(line)) : 0;
	free(stats);
	return count;
}

//@ count_buffers
/* How many buffers of a process are in use. */
static long count_buffers(pid_t pid)
{
	char *stats = told("stats");
	bool is_counted = stats && counts_objects(stats), is_of_it = false;
	char *text = is_counted || !stats ? stats : told("state");
	long count = 0;

	if (!text)
		return -1;
	for (char *at = text; at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
		if (!strncmp(at, "proc ", 5))
			is_of_it = atol(at + 5) == pid;
		else if (is_of_it && is_counted && !strncmp(at, "  buffers: ", 11))
			count += atol(at + 11);
		else if (is_of_it && !is_counted && !strncmp(at, "  buffer", 8))
			count++;
	}
	if (text != stats)
		free(stats);
	free(text);
	return count;
}

//@ set_user
static void set_user(uid_t uid)
{
	if (setgroups(0, NULL) || setresuid(uid, uid, uid))
		give_up("acting as another user takes root");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

//@ inherit
static void inherit(int parent, int child)
{
	for (int file = 0; file < FILES; file++)
		names->files[file].descriptors[child] = names->files[file].descriptors[parent];
}

//@ fork_process
/* Makes a process of the script: a copy of this one. */
static void fork_process(int thread, int forked)
{
	struct thread *child = &shared->threads[thread];
	pid_t pid = fork();

	if (pid) {
		came(pid < 0 ? -1 : 0);
		while (pid > 0 && !child->alive)
			usleep(100);
		return;
	}
	inherit(process, forked);
	process = forked;
	mapped = 0;
	child->pid = getpid();
	child->process = forked;
	serve(child);
}

//@ always
/* Serves as a thread of the script. */
static void *serve(void *thread)
{
	self = thread;
	self->tid = gettid();
	self->state = IDLE;
	self->alive = true;
	for (;;) {
		const struct step *step;

		while (sem_wait(&self->go))
			;
		step = &steps[self->step];
		if (self->looks)
			self->is_right = step->check();
		else
			step->act();
		self->state = IDLE;
	}
	return NULL;
}

static void handle_signal(int number)
{
	(void)number;
}

/* Starts a process with these threads, the first of which is given first. */
static void start_process(int number, int first, const int *others, long uid)
{
	struct sigaction action = { .sa_handler = handle_signal, .sa_flags = SA_RESTART };
	pid_t pid = fork();

	if (pid < 0)
		give_up("fork");
	if (pid) {
		while (!shared->threads[first].alive)
			usleep(100);
		for (const int *other = others; *other >= 0; other++)
			while (!shared->threads[*other].alive)
				usleep(100);
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	process = number;
	sigaction(SIGUSR1, &action, NULL);
	if (uid >= 0)
		set_user((uid_t)uid);
	for (const int *thread = others; *thread >= 0; thread++) {
		pthread_t started;

		shared->threads[*thread].pid = getpid();
		shared->threads[*thread].process = number;
		errno = pthread_create(&started, NULL, serve, &shared->threads[*thread]);
		if (errno)
			give_up("pthread_create");
	}
	shared->threads[first].pid = getpid();
	shared->threads[first].process = number;
	serve(&shared->threads[first]);
}

/* How often a thread that is in the driver has run so far, as /proc tells, if it sleeps; else -1. */
static long long sleeps(const struct thread *thread)
{
	char path[64], line[128];
	long long count, switches = 0;
	bool is_asleep = false;
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", (int)thread->pid, (int)thread->tid);
	status = fopen(path, "re");
	if (!status)
		return -1;
	while (fgets(line, sizeof(line), status)) {
		is_asleep |= !strncmp(line, "State:\tS", 8);
		if (sscanf(line, "voluntary_ctxt_switches: %lld", &count) == 1 ||
		    sscanf(line, "nonvoluntary_ctxt_switches: %lld", &count) == 1)
			switches += count;
	}
	fclose(status);
	return is_asleep ? switches : -1;
}

/* How often the threads in the driver have run so far, if all of them sleep and all others have nothing to do; else -1. */
static long long look(void)
{
	long long sum = 0;

	for (int t = 0; t < THREADS; t++) {
		struct thread *thread = &shared->threads[t];
		long long switches;

		if (!thread->alive || thread->state == IDLE)
			continue;
		switches = thread->state == IN_DRIVER ? sleeps(thread) : -1;
		if (switches < 0)
			return -1;
		sum += switches + 1;
	}
	return sum;
}

/* Waits until every thread has nothing to do or sleeps in the driver. Two looks that are alike saw a moment between them. */
static void settle(void)
{
	for (long waited = 0; waited < PATIENCE; waited += 100) {
		long long first = look();

		if (first >= 0 && look() == first)
			return;
		usleep(100);
	}
	errno = ETIMEDOUT;
	give_up("a thread neither returns from the driver nor sleeps in it");
}

/* Says that a step is not as the script expects, and ends everything. */
static _Noreturn void deviates(const struct step *step, const char *how)
{
	dprintf(1, "line %d: %s\n        DEVIATES: %s\n", step->line, step->text, how);
	for (int t = 0; t < THREADS; t++)
		if (shared->threads[t].alive)
			kill(shared->threads[t].pid, SIGKILL);
	_exit(1);
}

static void give(struct thread *thread, int step, bool looks)
{
	thread->step = step;
	thread->looks = looks;
	thread->state = BUSY;
	sem_post(&thread->go);
}

/* Waits until nothing is left of a process that ends. */
static void await_end(pid_t pid)
{
	for (int t = 0; t < THREADS; t++)
		if (shared->threads[t].pid == pid)
			shared->threads[t].alive = false;
	for (long waited = 0; waited < PATIENCE && !kill(pid, 0); waited += 100)
		usleep(100);
}

/* Says whom a step has woken. */
static void say_woken(void)
{
	for (int t = 0; t < THREADS; t++) {
		struct thread *thread = &shared->threads[t];

		if (thread->pending && thread->alive && thread->state == IDLE && !thread->woken) {
			dprintf(1, "        woke %s\n", thread_names[t]);
			thread->woken = true;
		}
	}
}

/* The thread that a name stands for. */
static int resolve(int name)
{
	return name < THREADS ? name : aliases[name - THREADS];
}

/* Finds the one of several sleeping threads that has been woken, and gives it its new name. */
static void choose(const struct step *step)
{
	int count = 0;

	for (const int *candidate = step->candidates; *candidate >= 0; candidate++) {
		struct thread *thread = &shared->threads[resolve(*candidate)];

		if (thread->pending && thread->state == IDLE) {
			aliases[step->actor - THREADS] = resolve(*candidate);
			count++;
		}
	}
	if (count != 1)
		deviates(step, "not exactly one of the threads has been woken");
}

static struct thread *actor_of(const struct step *step)
{
	return &shared->threads[resolve(step->actor)];
}

/* Has a step done by who does it, and looks at what came. */
static void run(int index)
{
	const struct step *step = &steps[index];
	struct thread *actor;
	bool awaits;

	if (step->candidates)
		choose(step);
	actor = actor_of(step);
	dprintf(1, "%5d  %s\n", step->line, step->text);
	awaits = actor->pending;
	if (awaits && !(step->flags & MAY_AWAIT))
		deviates(step, "its thread is asleep in a call, or has returned from one unexpectedly");
	if (step->flags & CONDUCTED) {
		self = actor;
		step->act();
		settle();
		if (!step->check())
			deviates(step, actor->difference);
		say_woken();
		return;
	}
	if (!awaits && step->act) {
		give(actor, index, false);
		if (step->flags & ENDS) {
			await_end(actor->pid);
			usleep(LATER);
			settle();
			dprintf(1, "        = success\n");
			say_woken();
			return;
		}
	}
	settle();
	if (step->flags & SETTLES_LATER) {
		usleep(LATER);
		settle();
	}
	for (long waited = 0; step->flags & TAKES_TIME && actor->state == IN_DRIVER && waited < PATIENCE; waited += 1000)
		usleep(1000);
	settle();
	actor->pending = actor->state == IN_DRIVER;
	actor->woken = false;
	if (actor->pending) {
		dprintf(1, "        parked\n");
		if (!(step->flags & MAY_PARK))
			deviates(step, "it is parked, and must return");
	} else {
		give(actor, index, true);
		settle();
		if (!actor->is_right)
			deviates(step, actor->difference);
	}
	say_woken();
}

//@ always
/* Nothing may have returned that no step has looked at. */
static void end(const struct step *last)
{
	for (int t = 0; t < THREADS; t++)
		if (shared->threads[t].alive && shared->threads[t].pending && shared->threads[t].state == IDLE)
			deviates(last, "after it a call has returned, and nothing in the script awaits that");
	for (int t = 0; t < THREADS; t++)
		if (shared->threads[t].alive)
			kill(shared->threads[t].pid, SIGKILL);
	dprintf(1, "all is as the script expects\n");
}

/* What is no binder device shows nothing of a driver. It is closed again before any step is done. */
static void begin_with_device(void)
{
	struct binder_version version = { 0 };
	int probe = open(device_path, O_RDWR | O_CLOEXEC);

	if (probe < 0)
		give_up(device_path);
	if (ioctl(probe, BINDER_VERSION, &version)) {
		dprintf(2, "%s is no binder device: BINDER_VERSION fails\n", device_path);
		_exit(2);
	}
	close(probe);
	usleep(LATER);
}

static void begin(int arguments, char **words)
{
	if (arguments > 1)
		device_path = words[1];
	begin_with_device();
	/* Who ends need not be waited for. */
	signal(SIGCHLD, SIG_IGN);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		give_up("mmap");
	names = &shared->names;
	for (int t = 0; t < THREADS; t++)
		sem_init(&shared->threads[t].go, 1, 0);
}
