/* The context of an HTTP response, as RR\Http\Codec::response() writes it. What
 * needs more than copying (escapes, other types) is left to the PHP code: NULL. */
#include "php_rr.h"
#include "text.h"

/* The digits of any integer, its sign and the final zero. */
#define RR_NUMBER (MAX_LENGTH_OF_LONG + 1)

/* A value as PHP's (string) would make it, without a copy where it is a string;
 * false for types that are left to PHP. number must hold RR_NUMBER. */
static bool text_of(zval *v, char *number, const char **s, size_t *length)
{
	ZVAL_DEREF(v);
	switch (Z_TYPE_P(v)) {
		case IS_STRING:
			*s = Z_STRVAL_P(v);
			*length = Z_STRLEN_P(v);
			return true;
		case IS_LONG:
			*s = zend_print_long_to_buf(number + RR_NUMBER - 1, Z_LVAL_P(v));
			*length = (size_t) (number + RR_NUMBER - 1 - *s);
			return true;
		case IS_TRUE:
			*s = "1";
			*length = 1;
			return true;
		case IS_FALSE:
		case IS_NULL:
			*s = "";
			*length = 0;
			return true;
	}
	return false;
}

/* Bytes that stand for themselves in a JSON string; others are rare in a header. */
static bool plain(const char *s, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char) s[i];
		if (c < ' ' || c >= 0x80 || c == '"' || c == '\\') {
			return false;
		}
	}
	return true;
}

static bool json_text(rr_text *out, const char *s, size_t length)
{
	if (!plain(s, length)) {
		return false;
	}
	text_char(out, '"');
	text_append(out, s, length);
	text_char(out, '"');
	return true;
}

static bool json_item(rr_text *out, zval *v)
{
	char number[RR_NUMBER];
	const char *s;
	size_t length;

	return text_of(v, number, &s, &length) && json_text(out, s, length);
}

static bool json_list(rr_text *out, zval *v)
{
	zval *item;
	bool first = true;

	ZVAL_DEREF(v);
	if (Z_TYPE_P(v) != IS_ARRAY) {
		return json_item(out, v);
	}
	ZEND_HASH_FOREACH_VAL(Z_ARRVAL_P(v), item) {
		if (!first) {
			text_char(out, ',');
		}
		first = false;
		if (!json_item(out, item)) {
			return false;
		}
	} ZEND_HASH_FOREACH_END();
	return true;
}

zend_string *rr_encode_json(zend_long status, HashTable *headers)
{
	rr_text out = {NULL, 0};
	zend_string *name;
	zend_ulong index;
	zval *value;
	bool first = true;

	text_literal(&out, "{\"status\":");
	text_long(&out, status);
	text_literal(&out, ",\"headers\":{");
	ZEND_HASH_FOREACH_KEY_VAL(headers, index, name, value) {
		if (!first) {
			text_char(&out, ',');
		}
		first = false;
		if (name == NULL) {
			text_char(&out, '"');
			text_long(&out, (zend_long) index);
			text_char(&out, '"');
		} else if (!json_text(&out, ZSTR_VAL(name), ZSTR_LEN(name))) {
			goto refuse;
		}
		text_literal(&out, ":[");
		if (!json_list(&out, value)) {
			goto refuse;
		}
		text_char(&out, ']');
	} ZEND_HASH_FOREACH_END();
	text_literal(&out, "}}");
	return text_take(&out);
refuse:
	text_free(&out);
	return NULL;
}

/* --- protobuf -------------------------------------------------------------- */

static size_t varint_size(uint64_t n)
{
	size_t size = 1;

	while (n >= 0x80) {
		n >>= 7;
		size++;
	}
	return size;
}

static void proto_varint(rr_text *out, uint64_t n)
{
	while (n >= 0x80) {
		text_char(out, (char) (n | 0x80));
		n >>= 7;
	}
	text_char(out, (char) n);
}

static void proto_bytes(rr_text *out, char tag, const char *s, size_t length)
{
	text_char(out, tag);
	proto_varint(out, length);
	text_append(out, s, length);
}

/* The size of the HeaderValue of one value. */
static bool item_size(zval *v, size_t *size)
{
	char number[RR_NUMBER];
	const char *s;
	size_t length;

	if (!text_of(v, number, &s, &length)) {
		return false;
	}
	*size += 1 + varint_size(length) + length;
	return true;
}

static void proto_item(rr_text *out, zval *v)
{
	char number[RR_NUMBER];
	const char *s;
	size_t length;

	if (text_of(v, number, &s, &length)) {
		proto_bytes(out, 0x0a, s, length);
	}
}

static bool proto_entry(rr_text *out, const char *name, size_t length, zval *value)
{
	size_t list = 0;
	zval *item;

	ZVAL_DEREF(value);
	if (Z_TYPE_P(value) == IS_ARRAY) {
		ZEND_HASH_FOREACH_VAL(Z_ARRVAL_P(value), item) {
			if (!item_size(item, &list)) {
				return false;
			}
		} ZEND_HASH_FOREACH_END();
	} else if (!item_size(value, &list)) {
		return false;
	}
	text_char(out, 0x12);
	proto_varint(out, 1 + varint_size(length) + length + 1 + varint_size(list) + list);
	proto_bytes(out, 0x0a, name, length);
	text_char(out, 0x12);
	proto_varint(out, list);
	if (Z_TYPE_P(value) == IS_ARRAY) {
		ZEND_HASH_FOREACH_VAL(Z_ARRVAL_P(value), item) {
			proto_item(out, item);
		} ZEND_HASH_FOREACH_END();
	} else {
		proto_item(out, value);
	}
	return true;
}

zend_string *rr_encode_proto(zend_long status, HashTable *headers)
{
	rr_text out = {NULL, 0};
	zend_string *name;
	zend_ulong index;
	zval *value;

	if (status < 0) {
		return NULL;
	}
	text_char(&out, 0x08);
	proto_varint(&out, (uint64_t) status);
	ZEND_HASH_FOREACH_KEY_VAL(headers, index, name, value) {
		char number[RR_NUMBER], *digits;
		bool ok;

		if (name != NULL) {
			ok = proto_entry(&out, ZSTR_VAL(name), ZSTR_LEN(name), value);
		} else {
			digits = zend_print_long_to_buf(number + RR_NUMBER - 1, (zend_long) index);
			ok = proto_entry(&out, digits, (size_t) (number + RR_NUMBER - 1 - digits), value);
		}
		if (!ok) {
			text_free(&out);
			return NULL;
		}
	} ZEND_HASH_FOREACH_END();
	return text_take(&out);
}
