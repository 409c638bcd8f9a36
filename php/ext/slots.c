/* RR\Ext\Slots: the worker's end of the control page and of the two halves.
 *
 * An exchange has one entry in each direction, or goes over the pipes:
 *
 *   idle -- request entry --> working -- answer() --> idle
 *     |                          |
 *     |                          | an answer that does not fit or streams, pipe()
 *     |                          v
 *     +-- entry with PIPE --> piped -- request entry -->
 *
 * What is sent when nothing is asked for (idle) belongs to no request: the response
 * entry gets a mark, and the daemon replaces the worker. */
#include "php_rr.h"
#include "control.h"
#include "zend_exceptions.h"
#include "ext/spl/spl_exceptions.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Longest sleep. The daemon ends its workers by a signal of the kernel when it
 * dies; where that is not so, they look at the pipe this often, in seconds. */
#define RR_LOOK 5

typedef enum { IDLE, WORKING, PIPED } rr_state;

typedef struct {
	rr_control *control; /* NULL before the constructor */
	size_t size;
	uint32_t half;
	int wake; /* where a byte wakes the daemon */
	uint32_t seq;
	rr_state state;
	zend_object std;
} rr_slots;

static zend_class_entry *slots_ce;
static zend_object_handlers slots_handlers;

static inline rr_slots *slots_of(zend_object *o)
{
	return (rr_slots *) ((char *) o - XtOffsetOf(rr_slots, std));
}

static zend_object *slots_create(zend_class_entry *ce)
{
	rr_slots *s = zend_object_alloc(sizeof(rr_slots), ce);
	s->wake = -1;
	zend_object_std_init(&s->std, ce);
	object_properties_init(&s->std, ce);
	s->std.handlers = &slots_handlers;
	return &s->std;
}

static void slots_free(zend_object *o)
{
	rr_slots *s = slots_of(o);
	if (s->control != NULL) {
		munmap(s->control, s->size);
	}
	if (s->wake >= 0) {
		close(s->wake);
	}
	zend_object_std_dtor(o);
}

/* The exceptions of the PHP package, where it is there. */
static void slots_throw(const char *class, const char *format, ...)
{
	va_list args;
	zend_string *name = zend_string_init(class, strlen(class), 0), *text;
	zend_class_entry *ce = zend_lookup_class(name);

	zend_string_release(name);
	va_start(args, format);
	text = zend_vstrpprintf(0, format, args);
	va_end(args);
	if (!EG(exception)) {
		zend_throw_exception(ce != NULL ? ce : spl_ce_RuntimeException, ZSTR_VAL(text), 0);
	}
	zend_string_release(text);
}

#define THROW_PROTOCOL(...) slots_throw("RR\\ProtocolException", __VA_ARGS__)
#define THROW_RELAY(...) slots_throw("RR\\RelayException", __VA_ARGS__)

static rr_slots *slots_this(zval *this)
{
	rr_slots *s = slots_of(Z_OBJ_P(this));
	if (s->control == NULL) {
		zend_throw_error(NULL, "RR\\Ext\\Slots was not constructed");
		return NULL;
	}
	return s;
}

PHP_METHOD(RR_Ext_Slots, __construct)
{
	zend_long shm, ctl;
	struct stat st;
	rr_control *control;
	rr_slots *s = slots_of(Z_OBJ_P(ZEND_THIS));
	uint32_t half;

	ZEND_PARSE_PARAMETERS_START(2, 2)
		Z_PARAM_LONG(shm)
		Z_PARAM_LONG(ctl)
	ZEND_PARSE_PARAMETERS_END();

	if (s->control != NULL) {
		zend_throw_error(NULL, "RR\\Ext\\Slots is constructed already");
		RETURN_THROWS();
	}
	if (shm < 0 || shm > INT_MAX || fstat((int) shm, &st) != 0) {
		THROW_RELAY("cannot use descriptor " ZEND_LONG_FMT " as shared memory: %s", shm, strerror(shm < 0 || shm > INT_MAX ? EBADF : errno));
		RETURN_THROWS();
	}
	if (st.st_size < RR_CONTROL_SIZE || st.st_size > SSIZE_MAX) {
		THROW_PROTOCOL("the shared memory has %lld bytes, that is no control page", (long long) st.st_size);
		RETURN_THROWS();
	}
	control = mmap(NULL, (size_t) st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, (int) shm, 0);
	if (control == MAP_FAILED) {
		THROW_RELAY("cannot map the shared memory: %s", strerror(errno));
		RETURN_THROWS();
	}
	half = control->half;
	if (control->magic != RR_MAGIC || control->version != RR_VERSION || half <= RR_BODY_OFFSET
			|| (uint64_t) st.st_size != RR_CONTROL_SIZE + 2 * (uint64_t) half) {
		munmap(control, (size_t) st.st_size);
		THROW_PROTOCOL("the shared memory has no slots of version %d", RR_VERSION);
		RETURN_THROWS();
	}
	s->wake = ctl < 0 || ctl > INT_MAX ? -1 : fcntl((int) ctl, F_DUPFD_CLOEXEC, 3);
	if (s->wake < 0) {
		munmap(control, (size_t) st.st_size);
		THROW_RELAY("cannot use descriptor " ZEND_LONG_FMT " to wake the server", ctl);
		RETURN_THROWS();
	}
	/* Programs that the application starts must not hold them: the daemon learns
	 * of the worker's end when the last descriptor is closed. */
	fcntl((int) shm, F_SETFD, FD_CLOEXEC);
	fcntl((int) ctl, F_SETFD, FD_CLOEXEC);
	s->control = control;
	s->size = (size_t) st.st_size;
	s->half = half;
	s->state = IDLE;
	s->seq = __atomic_load_n(&control->request.mark, __ATOMIC_ACQUIRE);
}

static inline unsigned char *half_of(rr_slots *s, int which)
{
	return (unsigned char *) s->control + RR_CONTROL_SIZE + (size_t) which * s->half + RR_BODY_OFFSET;
}

/* Sleeps until the request entry changes; false: it did not, but a signal came, the
 * daemon closed the channel, or RR_LOOK went by. */
static bool slots_sleep(rr_slots *s)
{
	static const struct timespec look = {RR_LOOK, 0};
	rr_entry *request = &s->control->request;
	bool changed;

	/* Sequentially consistent: either the daemon sees that we wait, or we see its entry. */
	__atomic_store_n(&request->waits, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&request->seq, __ATOMIC_SEQ_CST) == s->seq) {
		syscall(SYS_futex, &request->seq, FUTEX_WAIT, s->seq, &look, NULL, 0);
	}
	changed = __atomic_load_n(&request->seq, __ATOMIC_ACQUIRE) != s->seq;
	__atomic_store_n(&request->waits, 0, __ATOMIC_RELAXED);
	return changed;
}

PHP_METHOD(RR_Ext_Slots, wait)
{
	rr_slots *s;
	rr_entry *request;
	uint32_t seq, flags, stream, context, part;
	const char *half;
	zval v;

	ZEND_PARSE_PARAMETERS_NONE();
	if ((s = slots_this(ZEND_THIS)) == NULL) {
		RETURN_THROWS();
	}
	request = &s->control->request;
	if (__atomic_load_n(&request->seq, __ATOMIC_ACQUIRE) == s->seq && !slots_sleep(s)) {
		RETURN_NULL();
	}
	seq = __atomic_load_n(&request->seq, __ATOMIC_ACQUIRE);
	if (seq != s->seq + 1) {
		THROW_PROTOCOL("the request slot has number %u, expected %u", seq, s->seq + 1);
		RETURN_THROWS();
	}
	/* From here on the daemon gives the request to no other worker. */
	__atomic_store_n(&request->mark, seq, __ATOMIC_RELEASE);
	s->seq = seq;

	flags = request->flags;
	stream = request->stream;
	context = request->context;
	part = request->part;
	s->state = stream & RR_PIPE ? PIPED : WORKING;
	if (s->state == PIPED) {
		context = part = 0;
	}
	if (flags > 0xff || stream > 0xff || (uint64_t) context + part > s->half - RR_BODY_OFFSET) {
		THROW_PROTOCOL("the request slot has flags %u, stream bits %u, context %u, body %u", flags, stream, context, part);
		RETURN_THROWS();
	}
	half = (const char *) half_of(s, 0);
	array_init_size(return_value, 4);
	zend_hash_real_init_packed(Z_ARRVAL_P(return_value));
	ZEND_HASH_FILL_PACKED(Z_ARRVAL_P(return_value)) {
		ZVAL_LONG(&v, flags);
		ZEND_HASH_FILL_ADD(&v);
		ZVAL_LONG(&v, stream);
		ZEND_HASH_FILL_ADD(&v);
		if (context > 0) {
			ZVAL_STR(&v, zend_string_init(half + part, context, 0));
		} else {
			ZVAL_EMPTY_STRING(&v);
		}
		ZEND_HASH_FILL_ADD(&v);
		if (part > 0) {
			ZVAL_STR(&v, zend_string_init(half, part, 0));
		} else {
			ZVAL_EMPTY_STRING(&v);
		}
		ZEND_HASH_FILL_ADD(&v);
	} ZEND_HASH_FILL_END();
}

/* Makes the response entry visible and wakes the daemon; false: it is gone. */
static bool slots_publish(rr_slots *s, uint32_t flags, uint32_t stream, uint32_t context, uint32_t part)
{
	rr_entry *response = &s->control->response;

	response->flags = flags;
	response->stream = stream;
	response->context = context;
	response->part = part;
	response->rest = 0;
	__atomic_store_n(&response->seq, s->seq, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&response->waits, __ATOMIC_SEQ_CST) == 0) {
		return true;
	}
	while (write(s->wake, "", 1) < 0) {
		if (errno != EINTR) {
			THROW_RELAY("cannot wake the server: %s", strerror(errno));
			return false;
		}
	}
	return true;
}

/* The rest of this exchange is in the pipe. */
static bool slots_redirect(rr_slots *s)
{
	switch (s->state) {
		case WORKING:
			s->state = PIPED;
			return slots_publish(s, 0, RR_PIPE, 0, 0);
		case IDLE:
			/* The entry may hold the answer that was asked for: it stays. */
			__atomic_store_n(&s->control->response.mark, 1, __ATOMIC_RELEASE);
			return true;
		case PIPED:
			break;
	}
	return true;
}

PHP_METHOD(RR_Ext_Slots, answer)
{
	zend_long flags, stream;
	zend_string *context, *body;
	rr_slots *s;
	unsigned char *half;
	size_t room;

	ZEND_PARSE_PARAMETERS_START(4, 4)
		Z_PARAM_LONG(flags)
		Z_PARAM_LONG(stream)
		Z_PARAM_STR(context)
		Z_PARAM_STR(body)
	ZEND_PARSE_PARAMETERS_END();

	if ((s = slots_this(ZEND_THIS)) == NULL) {
		RETURN_THROWS();
	}
	room = s->half - RR_BODY_OFFSET;
	/* A stream is piped: its next frame must not replace one that the daemon has not
	 * read yet. */
	if (s->state != WORKING || (stream & RR_STREAM) || ZSTR_LEN(body) > room || ZSTR_LEN(context) > room - ZSTR_LEN(body)) {
		if (!slots_redirect(s)) {
			RETURN_THROWS();
		}
		RETURN_FALSE;
	}
	half = half_of(s, 1);
	memcpy(half, ZSTR_VAL(body), ZSTR_LEN(body));
	memcpy(half + ZSTR_LEN(body), ZSTR_VAL(context), ZSTR_LEN(context));
	s->state = IDLE;
	if (!slots_publish(s, (uint32_t) (flags & 0xff), 0, (uint32_t) ZSTR_LEN(context), (uint32_t) ZSTR_LEN(body))) {
		RETURN_THROWS();
	}
	RETURN_TRUE;
}

PHP_METHOD(RR_Ext_Slots, pipe)
{
	rr_slots *s;

	ZEND_PARSE_PARAMETERS_NONE();
	if ((s = slots_this(ZEND_THIS)) == NULL || !slots_redirect(s)) {
		RETURN_THROWS();
	}
}

ZEND_BEGIN_ARG_INFO_EX(arginfo_construct, 0, 0, 2)
	ZEND_ARG_TYPE_INFO(0, shm, IS_LONG, 0)
	ZEND_ARG_TYPE_INFO(0, ctl, IS_LONG, 0)
ZEND_END_ARG_INFO()

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arginfo_wait, 0, 0, IS_ARRAY, 1)
ZEND_END_ARG_INFO()

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arginfo_answer, 0, 4, _IS_BOOL, 0)
	ZEND_ARG_TYPE_INFO(0, flags, IS_LONG, 0)
	ZEND_ARG_TYPE_INFO(0, stream, IS_LONG, 0)
	ZEND_ARG_TYPE_INFO(0, context, IS_STRING, 0)
	ZEND_ARG_TYPE_INFO(0, body, IS_STRING, 0)
ZEND_END_ARG_INFO()

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arginfo_pipe, 0, 0, IS_VOID, 0)
ZEND_END_ARG_INFO()

static const zend_function_entry slots_methods[] = {
	PHP_ME(RR_Ext_Slots, __construct, arginfo_construct, ZEND_ACC_PUBLIC)
	PHP_ME(RR_Ext_Slots, wait, arginfo_wait, ZEND_ACC_PUBLIC)
	PHP_ME(RR_Ext_Slots, answer, arginfo_answer, ZEND_ACC_PUBLIC)
	PHP_ME(RR_Ext_Slots, pipe, arginfo_pipe, ZEND_ACC_PUBLIC)
	PHP_FE_END
};

void rr_slots_register(void)
{
	zend_class_entry ce;

	INIT_NS_CLASS_ENTRY(ce, "RR\\Ext", "Slots", slots_methods);
	slots_ce = zend_register_internal_class(&ce);
	slots_ce->create_object = slots_create;
	slots_ce->ce_flags |= ZEND_ACC_FINAL | ZEND_ACC_NO_DYNAMIC_PROPERTIES | ZEND_ACC_NOT_SERIALIZABLE;
	memcpy(&slots_handlers, zend_get_std_object_handlers(), sizeof(slots_handlers));
	slots_handlers.offset = XtOffsetOf(rr_slots, std);
	slots_handlers.free_obj = slots_free;
	slots_handlers.clone_obj = NULL;
}
