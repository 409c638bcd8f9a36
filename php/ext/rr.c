#include "php_rr.h"
#include "ext/standard/info.h"
#include "zend_exceptions.h"

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arginfo_decode_request, 0, 2, IS_ARRAY, 1)
	ZEND_ARG_TYPE_INFO(0, context, IS_STRING, 0)
	ZEND_ARG_TYPE_INFO(0, json, _IS_BOOL, 0)
ZEND_END_ARG_INFO()

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arginfo_encode_response, 0, 3, IS_STRING, 1)
	ZEND_ARG_TYPE_INFO(0, status, IS_LONG, 0)
	ZEND_ARG_TYPE_INFO(0, headers, IS_ARRAY, 0)
	ZEND_ARG_TYPE_INFO(0, json, _IS_BOOL, 0)
ZEND_END_ARG_INFO()

/* What RR\Http\Codec::request() returns, or null: then ask it. */
ZEND_NAMED_FUNCTION(rr_decode_request)
{
	zend_string *context;
	bool json;

	ZEND_PARSE_PARAMETERS_START(2, 2)
		Z_PARAM_STR(context)
		Z_PARAM_BOOL(json)
	ZEND_PARSE_PARAMETERS_END();

	if (json) {
		rr_decode_json(ZSTR_VAL(context), ZSTR_LEN(context), return_value);
	} else {
		rr_decode_proto(ZSTR_VAL(context), ZSTR_LEN(context), return_value);
	}
}

/* What RR\Http\Codec::response() returns, or null: then ask it. */
ZEND_NAMED_FUNCTION(rr_encode_response)
{
	zend_long status;
	HashTable *headers;
	bool json;
	zend_string *bytes;

	ZEND_PARSE_PARAMETERS_START(3, 3)
		Z_PARAM_LONG(status)
		Z_PARAM_ARRAY_HT(headers)
		Z_PARAM_BOOL(json)
	ZEND_PARSE_PARAMETERS_END();

	bytes = json ? rr_encode_json(status, headers) : rr_encode_proto(status, headers);
	if (bytes != NULL) {
		RETURN_STR(bytes);
	}
	RETURN_NULL();
}

static const zend_function_entry rr_functions[] = {
	ZEND_NS_NAMED_FE("RR\\Ext", decode_request, rr_decode_request, arginfo_decode_request)
	ZEND_NS_NAMED_FE("RR\\Ext", encode_response, rr_encode_response, arginfo_encode_response)
	ZEND_FE_END
};

PHP_MINIT_FUNCTION(rr)
{
	/* Not in the namespace: defined() with such a name is an instruction of PHP, no call. */
	REGISTER_LONG_CONSTANT("RR_EXT_API_" ZEND_TOSTR(PHP_RR_API), PHP_RR_API, CONST_PERSISTENT);
	rr_request_startup();
	rr_slots_register();
	return SUCCESS;
}

PHP_MINFO_FUNCTION(rr)
{
	php_info_print_table_start();
	php_info_print_table_row(2, "rr", "enabled");
	php_info_print_table_row(2, "Version", PHP_RR_VERSION);
	php_info_print_table_row(2, "API", ZEND_TOSTR(PHP_RR_API));
	php_info_print_table_end();
}

zend_module_entry rr_module_entry = {
	STANDARD_MODULE_HEADER,
	"rr",
	rr_functions,
	PHP_MINIT(rr),
	NULL,
	NULL,
	NULL,
	PHP_MINFO(rr),
	PHP_RR_VERSION,
	STANDARD_MODULE_PROPERTIES
};

#ifdef COMPILE_DL_RR
#ifdef ZTS
ZEND_TSRMLS_CACHE_DEFINE()
#endif
ZEND_GET_MODULE(rr)
#endif
