#include "probe_args.h"

#include <arpa/inet.h>
#include <string.h>

#include "cursor.h"
#include "error_line.h"
#include "hex.h"

struct slice {
	const char *text;
	size_t length;
};

static bool slice_is(struct slice slice, const char *word)
{
	return slice.length == strlen(word) &&
	       memcmp(slice.text, word, slice.length) == 0;
}

static bool set_probe(struct slice value, struct probe_args *args)
{
	if (slice_is(value, "v0"))
		args->probe = PROBE_V0;
	else if (slice_is(value, "v1"))
		args->probe = PROBE_V1;
	else if (slice_is(value, "plain"))
		args->probe = PROBE_PLAIN;
	else
		return false;
	return true;
}

static bool set_key(struct slice value, struct probe_args *args)
{
	static const char prefix[] = "static:";
	const size_t prefix_length = sizeof prefix - 1;
	uint8_t bytes[sizeof(uint64_t)];
	struct cursor key = cursor_over(bytes, sizeof bytes);

	if (slice_is(value, "weight16")) {
		args->key.method = KEY_WEIGHT16;
		return true;
	}
	if (value.length != prefix_length + 2 * sizeof bytes ||
	    memcmp(value.text, prefix, prefix_length) != 0 ||
	    !hex_decode(value.text + prefix_length, bytes, sizeof bytes))
		return false;
	args->key.method = KEY_STATIC;
	args->key.fixed = cursor_u64(&key);
	return true;
}

static bool set_options(struct slice value, struct probe_args *args)
{
	if (slice_is(value, "linux"))
		args->options = OPTIONS_LINUX;
	else if (slice_is(value, "bare"))
		args->options = OPTIONS_BARE;
	else
		return false;
	return true;
}

static bool set_canary(struct slice value, struct probe_args *args)
{
	args->canary = slice_is(value, "on");
	return args->canary || slice_is(value, "off");
}

static bool set_targets(struct slice value, struct probe_args *args)
{
	if (value.length == 0 || value.length >= sizeof args->targets)
		return false;
	/* Behind it are the zeros that probe_args_parse starts from. */
	memcpy(args->targets, value.text, value.length);
	return true;
}

static bool set_source(struct slice value, struct probe_args *args)
{
	char text[INET6_ADDRSTRLEN] = "";
	uint8_t bytes[IPV6_ADDRESS_BYTES];

	if (value.length >= sizeof text)
		return false;
	memcpy(text, value.text, value.length);
	args->has_source = inet_pton(AF_INET6, text, bytes) == 1;
	if (args->has_source)
		args->source = ip_address_6(bytes);
	return args->has_source;
}

static bool set_flow(struct slice value, struct probe_args *args)
{
	uint8_t bytes[SIPHASH_KEY_BYTES];

	args->has_flow = value.length == 2 * sizeof bytes &&
			 hex_decode(value.text, bytes, sizeof bytes);
	if (args->has_flow)
		args->flow = siphash_key(bytes);
	return args->has_flow;
}

/* One or two digits, from 1 to SYN_LINUX_TTL. */
static bool read_ttl(struct slice text, uint8_t *ttl)
{
	unsigned value = 0;

	if (text.length < 1 || text.length > 2)
		return false;
	for (size_t i = 0; i < text.length; i++) {
		if (text.text[i] < '0' || text.text[i] > '9')
			return false;
		value = value * 10 + (unsigned)(text.text[i] - '0');
	}
	*ttl = (uint8_t)value;
	return value >= 1 && value <= SYN_LINUX_TTL;
}

static bool set_ttls(struct slice value, struct probe_args *args)
{
	const char *dash = memchr(value.text, '-', value.length);
	struct slice first = value, last = {"", 0};

	if (dash != NULL) {
		first.length = (size_t)(dash - value.text);
		last.text = dash + 1;
		last.length = value.length - first.length - 1;
	}
	return read_ttl(first, &args->ttls.first) && read_ttl(last, &args->ttls.last) &&
	       args->ttls.first <= args->ttls.last;
}

static const struct argument {
	const char *name;
	const char *allowed;
	bool (*set)(struct slice value, struct probe_args *args);
} arguments[] = {
    {"probe", "v0, v1 or plain", set_probe},
    {"key", "weight16, or static: and 16 hex digits", set_key},
    {"options", "linux or bare", set_options},
    {"canary", "on or off", set_canary},
    {"targets", "a path without commas", set_targets},
    {"source", "an IPv6 address", set_source},
    {"ttl", "FIRST-LAST, both from 1 to 64", set_ttls},
    {"flow", "32 hex digits", set_flow},
};

#define ALLOWED_NAMES                                                                    \
	"(allowed: probe, key, options, canary, targets, source, ttl, flow, or help "    \
	"alone)"
#define ARGUMENT_COUNT (sizeof arguments / sizeof arguments[0])

static const struct argument *find_argument(struct slice name)
{
	for (size_t i = 0; i < ARGUMENT_COUNT; i++) {
		if (slice_is(name, arguments[i].name))
			return &arguments[i];
	}
	return NULL;
}

#define BAD(error, ...)                                                                  \
	(error_line(error, PROBE_ARGS_ERROR_BYTES, __VA_ARGS__), PROBE_ARGS_BAD)

/* For "%.*s": the head of a slice, short enough to leave room for the allowed values. */
#define SHOWN_CHARACTERS 40
#define SHOWN(slice)                                                                     \
	(int)((slice).length < SHOWN_CHARACTERS ? (slice).length : SHOWN_CHARACTERS),    \
	    (slice).text

static enum probe_args_status parse_one(struct slice item, unsigned *seen,
					struct probe_args *args, char *error)
{
	const char *equals = memchr(item.text, '=', item.length);
	struct slice name = item, value = {"", 0};
	const struct argument *argument;
	unsigned bit;

	if (equals != NULL) {
		name.length = (size_t)(equals - item.text);
		value.text = equals + 1;
		value.length = item.length - name.length - 1;
	}
	argument = find_argument(name);
	if (argument == NULL)
		return BAD(error, "unknown name '%.*s' " ALLOWED_NAMES, SHOWN(name));
	bit = 1u << (argument - arguments);
	if (*seen & bit)
		return BAD(error, "'%s' is given twice (allowed: once)", argument->name);
	*seen |= bit;
	if (!argument->set(value, args))
		return BAD(error, "bad value '%.*s' for '%s' (allowed: %s)", SHOWN(value),
			   argument->name, argument->allowed);
	return PROBE_ARGS_OK;
}

enum probe_args_status probe_args_parse(const char *text, struct probe_args *args,
					char error[PROBE_ARGS_ERROR_BYTES])
{
	unsigned seen = 0;
	size_t length;

	*args = (struct probe_args){
	    .probe = PROBE_V1,
	    .key = {.method = KEY_WEIGHT16},
	    .options = OPTIONS_LINUX,
	};
	if (text == NULL || *text == '\0')
		return PROBE_ARGS_OK;
	if (strcmp(text, "help") == 0)
		return PROBE_ARGS_HELP_ASKED;
	length = strlen(text);
	if (length > PROBE_ARGS_MAX_BYTES)
		return BAD(error, "%zu characters are too many (allowed: %d)", length,
			   PROBE_ARGS_MAX_BYTES);

	for (;;) {
		struct slice item = {text, strcspn(text, ",")};
		enum probe_args_status status = parse_one(item, &seen, args, error);

		if (status != PROBE_ARGS_OK || text[item.length] == '\0')
			return status;
		text += item.length + 1;
	}
}
