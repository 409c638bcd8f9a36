/* Strings and maps of a request's context. The names that contexts and headers have most
 * often exist once, for as long as the process lives. */
#include "php_rr.h"
#include "request.h"

/* Names that get no memory of their own. The table is an open hash of a size that
 * leaves most chains empty; it is filled once and read afterwards. */
static const char *const common[] = {
	"remoteAddr", "protocol", "method", "uri", "headers", "cookies", "rawQuery", "parsed", "uploads", "attributes", "ipAddress",
	"Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Authorization", "Baggage", "Cache-Control", "Cdn-Loop",
	"Cf-Connecting-Ip", "Cf-Ipcountry", "Cf-Ray", "Cf-Visitor", "Connection", "Content-Encoding", "Content-Language",
	"Content-Length", "Content-Type", "Cookie", "Date", "Dnt", "Expect", "Forwarded", "From", "Host", "If-Match",
	"If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Keep-Alive", "Origin", "Pragma", "Priority", "Range",
	"Referer", "Sec-Ch-Ua", "Sec-Ch-Ua-Mobile", "Sec-Ch-Ua-Platform", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site",
	"Sec-Fetch-User", "Sec-Gpc", "Te", "Traceparent", "Tracestate", "Transfer-Encoding", "Upgrade", "Upgrade-Insecure-Requests",
	"User-Agent", "Via", "X-Csrf-Token", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto",
	"X-Real-Ip", "X-Request-Id", "X-Requested-With", "HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3.0", "GET", "HEAD", "POST", "PUT",
	"PATCH", "DELETE", "OPTIONS", "name", "mime", "size", "error", "tmpName",
};

#define RR_NAMES 512
static zend_string *names[RR_NAMES];

void rr_request_startup(void)
{
	for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++) {
		zend_string *s = zend_string_init_interned(common[i], strlen(common[i]), 1);
		zend_ulong h = zend_string_hash_val(s);

		while (names[h & (RR_NAMES - 1)] != NULL) {
			h++;
		}
		names[h & (RR_NAMES - 1)] = s;
	}
}

/* A string; one of the table without a copy. */
zend_string *rr_string(const char *s, size_t length, bool lookup)
{
	zend_string *new;
	zend_ulong h, at;

	if (length == 0) {
		return ZSTR_EMPTY_ALLOC();
	}
	if (length == 1) {
		return ZSTR_CHAR((zend_uchar) *s);
	}
	if (!lookup) {
		return zend_string_init(s, length, 0);
	}
	h = zend_hash_func(s, length);
	for (at = h; names[at & (RR_NAMES - 1)] != NULL; at++) {
		zend_string *known = names[at & (RR_NAMES - 1)];
		if (ZSTR_H(known) == h && ZSTR_LEN(known) == length && memcmp(ZSTR_VAL(known), s, length) == 0) {
			return known;
		}
	}
	new = zend_string_init(s, length, 0);
	ZSTR_H(new) = h;
	return new;
}

void rr_set(HashTable *map, zend_string *name, zval *value)
{
	zend_symtable_update(map, name, value);
	zend_string_release(name);
}
