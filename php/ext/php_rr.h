#ifndef PHP_RR_H
#define PHP_RR_H

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include "php.h"

#define PHP_RR_VERSION "0.1.0"

extern zend_module_entry rr_module_entry;
#define phpext_rr_ptr &rr_module_entry

/* slots.c: the class RR\Ext\Slots. */
void rr_slots_register(void);

/* request.c: the names that contexts and headers have most often, as strings
 * that live as long as the process. */
void rr_request_startup(void);

/* Both return false when the PHP code of RR\Http\Codec has to do it: what is
 * unusual, and what is wrong, is told there once. return_value is null then. */
bool rr_decode_json(const char *context, size_t length, zval *return_value);
bool rr_decode_proto(const char *context, size_t length, zval *return_value);

/* response.c; NULL: as above. */
zend_string *rr_encode_json(zend_long status, HashTable *headers);
zend_string *rr_encode_proto(zend_long status, HashTable *headers);

#endif
