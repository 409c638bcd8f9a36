/* The context of an HTTP request, from JSON (json.c) or protobuf (proto.c) to the array
 * that RR\Http\Codec::request() returns. Only what the daemon usually sends is read:
 * whatever is out of the ordinary is refused, and PHP's own json_decode() or
 * RR\Http\Proto reads it from the beginning. So there is one place where the rare cases
 * and the errors are decided. */
#ifndef RR_REQUEST_H
#define RR_REQUEST_H

#include "php.h"

/* names.c: a string; with lookup, one of the usual names without a copy. */
zend_string *rr_string(const char *s, size_t length, bool lookup);

/* names.c: adds value under a name, which it takes; as PHP does it, "12" is the number
 * 12. */
void rr_set(HashTable *map, zend_string *name, zval *value);

#endif
