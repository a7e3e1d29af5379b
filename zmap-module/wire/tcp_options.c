#include "tcp_options.h"

#include "cursor.h"

struct option {
	uint8_t kind;
	/* As its length byte says; 0 when there is none. */
	uint8_t length;
	/* What lies both within the length and within the option bytes. */
	struct cursor value;
	/* False: the walk cannot go on behind it. */
	bool whole;
};

/* Reads the next option that is not padding; false at the end of the list. */
static bool next_option(struct cursor *options, struct option *option)
{
	size_t value_bytes;

	do {
		option->kind = cursor_u8(options);
		if (options->overrun || option->kind == TCP_OPTION_EOL)
			return false;
	} while (option->kind == TCP_OPTION_NOP);

	option->length = cursor_u8(options);
	option->whole = option->length >= 2 && option->length - 2u <= options->left;
	value_bytes = option->length < 2 ? 0 : option->length - 2u;
	if (value_bytes > options->left)
		value_bytes = options->left;
	option->value = cursor_over(cursor_take(options, value_bytes), value_bytes);
	return true;
}

static bool legal_mp_capable_length(uint8_t version, uint8_t length)
{
	if (version == 0)
		return length == MP_CAPABLE_V0_BYTES;
	return length == MP_CAPABLE_BYTES || length == MP_CAPABLE_WITH_KEY_BYTES;
}

static struct mptcp_facts read_mptcp(const struct option *option)
{
	struct mptcp_facts facts = {.presence = MPTCP_MALFORMED};
	struct cursor value = option->value;
	uint8_t subtype_and_version = cursor_u8(&value);

	if (value.overrun)
		return facts;
	if (subtype_and_version >> 4 != MPTCP_SUBTYPE_CAPABLE) {
		if (option->whole)
			facts.presence = MPTCP_OTHER;
		return facts;
	}

	facts.has_version = true;
	facts.version = subtype_and_version & 0xf;
	facts.has_length = true;
	facts.length = option->length;
	facts.flags = cursor_u8(&value);
	facts.has_flags = !value.overrun;
	if (!option->whole || !legal_mp_capable_length(facts.version, facts.length))
		return facts;

	facts.presence = MPTCP_CAPABLE;
	if (facts.length == MP_CAPABLE_WITH_KEY_BYTES) {
		facts.key = cursor_u64(&value);
		facts.has_key = true;
	}
	return facts;
}

/* Which of two options decides (rule 4): the larger. */
static int rank(enum mptcp_presence presence)
{
	static const int ranks[] = {
	    [MPTCP_NONE] = 0,
	    [MPTCP_OTHER] = 1,
	    [MPTCP_MALFORMED] = 2,
	    [MPTCP_CAPABLE] = 3,
	};

	return ranks[presence];
}

struct mptcp_facts tcp_options_find_mptcp(const uint8_t *bytes, size_t length)
{
	struct mptcp_facts deciding = {.presence = MPTCP_NONE};
	struct cursor options = cursor_over(bytes, length);
	struct option option;

	while (next_option(&options, &option)) {
		if (option.kind == TCP_OPTION_MPTCP) {
			struct mptcp_facts facts = read_mptcp(&option);

			if (rank(facts.presence) > rank(deciding.presence))
				deciding = facts;
		}
		if (!option.whole)
			break;
	}
	return deciding;
}

static bool is_canary(const struct option *option)
{
	struct cursor value = option->value;

	return option->kind == TCP_OPTION_EXPERIMENT &&
	       cursor_u16(&value) == CANARY_EXPERIMENT;
}

static enum canary_presence judge_canary(const struct option *option, uint32_t sent_nonce)
{
	struct cursor value = option->value;

	cursor_take(&value, 2); /* the identifier */
	if (option->whole && option->length == CANARY_BYTES &&
	    cursor_u32(&value) == sent_nonce)
		return CANARY_MIRRORED;
	return CANARY_ALTERED;
}

enum canary_presence tcp_options_find_canary(const uint8_t *bytes, size_t length,
					     uint32_t sent_nonce)
{
	struct cursor options = cursor_over(bytes, length);
	struct option option;

	while (next_option(&options, &option)) {
		if (is_canary(&option))
			return judge_canary(&option, sent_nonce);
		if (!option.whole)
			break;
	}
	return CANARY_NONE;
}
