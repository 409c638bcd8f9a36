#ifndef PHP_RR_H
#define PHP_RR_H

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include "php.h"

#define PHP_RR_VERSION "0.1.0"

/* Number of the API for the PHP package, which shows as the constant RR_EXT_API_1.
 * It rises when a function or method changes what it takes or gives: a package that
 * does not know the number does without the extension. */
#ifndef PHP_RR_API
#define PHP_RR_API 1
#endif

extern zend_module_entry rr_module_entry;
#define phpext_rr_ptr &rr_module_entry

/* slots.c: the class RR\Ext\Slots. */
void rr_slots_register(void);

/* names.c: the names that contexts and headers have most often, as strings
 * that live as long as the process. */
void rr_request_startup(void);

/* json.c, proto.c. Both return false when the PHP code of RR\Http\Codec has to do it: what is
 * unusual, and what is wrong, is told there once. return_value is null then. */
bool rr_decode_json(const char *context, size_t length, zval *return_value);
bool rr_decode_proto(const char *context, size_t length, zval *return_value);

/* response.c; NULL: as above. */
zend_string *rr_encode_json(zend_long status, HashTable *headers);
zend_string *rr_encode_proto(zend_long status, HashTable *headers);

#endif
