/* The control page, as ipc/PROTOCOL.md describes it. Shared with the tests. */
#ifndef RR_CONTROL_H
#define RR_CONTROL_H

#include <stdint.h>

#define RR_CONTROL_SIZE 4096
#define RR_BODY_OFFSET 24
#define RR_MAGIC 0x31535252u /* "RRS1" */
#ifndef RR_VERSION
#define RR_VERSION 1
#endif

#define RR_CONTROL 0x01 /* flags of a frame */
#define RR_STREAM 0x01 /* stream bits of a frame */
#define RR_PIPE 0x40   /* of an entry: the frame is in the pipe, and all that follows */

/* One direction. seq is written last, with release order, and read first. */
typedef struct {
	uint32_t seq;
	uint32_t waits; /* the reader sleeps, or is about to */
	uint32_t flags;
	uint32_t stream;
	uint32_t context;
	uint32_t part;
	uint32_t rest;  /* 0 in this version */
	uint32_t mark;  /* by the worker; request: the last seq that it has begun to read,
	                   response: not 0 when it has sent more than it was asked for */
	uint32_t unused[8];
} rr_entry;

typedef struct {
	uint32_t magic;
	uint32_t version;
	uint32_t half;
	uint32_t unused[13];
	rr_entry request;  /* at 64 */
	rr_entry response; /* at 128 */
} rr_control;

_Static_assert(sizeof(rr_entry) == 64, "an entry is a cache line");
_Static_assert(sizeof(rr_control) == 192, "the offsets of ipc/PROTOCOL.md");

#endif
