/*
 * The rule of tcp_options.h a second time, as slowly and plainly as it reads: the list is
 * cut into options first, then each rule is asked of the whole list.
 */
#ifndef MPCENSUS_NAIVE_OPTIONS_H
#define MPCENSUS_NAIVE_OPTIONS_H

#include "../wire/tcp_options.h"

struct naive_option {
	int kind, claimed,
	    present; /* bytes, header included; claimed is -1 without length */
	const uint8_t *bytes;
};

static inline int naive_split(const uint8_t *bytes, int length, struct naive_option *list)
{
	int count = 0;

	for (int i = 0; i < length;) {
		struct naive_option option = {
		    .kind = bytes[i], .claimed = -1, .bytes = bytes + i};

		if (option.kind == 0)
			break;
		if (option.kind == 1) {
			i++;
			continue;
		}
		if (i + 1 < length)
			option.claimed = bytes[i + 1];
		option.present =
		    option.claimed < length - i ? option.claimed : length - i;
		list[count++] = option;
		if (option.claimed < 2 || option.claimed > length - i)
			break;
		i += option.claimed;
	}
	return count;
}

static inline bool naive_is_capable_subtype(const struct naive_option *o)
{
	return o->kind == 30 && o->present >= 3 && o->bytes[2] / 16 == 0;
}

static inline enum mptcp_presence naive_judge(const struct naive_option *o)
{
	if (o->kind != 30)
		return MPTCP_NONE;
	if (o->claimed < 3 || o->present < o->claimed)
		return MPTCP_MALFORMED;
	if (o->bytes[2] / 16 != 0)
		return MPTCP_OTHER;
	if (o->claimed == 12 || (o->claimed == 4 && o->bytes[2] % 16 >= 1))
		return MPTCP_CAPABLE;
	return MPTCP_MALFORMED;
}

static inline struct mptcp_facts naive_facts(const struct naive_option *o)
{
	struct mptcp_facts facts = {.presence = naive_judge(o)};

	if (!naive_is_capable_subtype(o))
		return facts;
	facts.has_version = facts.has_length = true;
	facts.version = o->bytes[2] % 16;
	facts.length = (uint8_t)o->claimed;
	if (o->present >= 4) {
		facts.has_flags = true;
		facts.flags = o->bytes[3];
	}
	if (facts.presence == MPTCP_CAPABLE && o->claimed == 12) {
		facts.has_key = true;
		for (int i = 4; i < 12; i++)
			facts.key = facts.key * 256 + o->bytes[i];
	}
	return facts;
}

static inline struct mptcp_facts naive_find_mptcp(const uint8_t *bytes, size_t length)
{
	static const enum mptcp_presence order[] = {MPTCP_CAPABLE, MPTCP_MALFORMED,
						    MPTCP_OTHER};
	struct naive_option list[TCP_OPTIONS_MAX_BYTES];
	int count = naive_split(bytes, (int)length, list);

	for (int o = 0; o < 3; o++) {
		for (int i = 0; i < count; i++) {
			if (naive_judge(&list[i]) == order[o])
				return naive_facts(&list[i]);
		}
	}
	return (struct mptcp_facts){.presence = MPTCP_NONE};
}

static inline bool same_facts(const struct mptcp_facts *a, const struct mptcp_facts *b)
{
	return a->presence == b->presence && a->has_version == b->has_version &&
	       a->has_flags == b->has_flags && a->has_length == b->has_length &&
	       a->has_key == b->has_key && a->version == b->version &&
	       a->flags == b->flags && a->length == b->length && a->key == b->key;
}

static inline bool naive_is_canary(const struct naive_option *o)
{
	return o->kind == 254 && o->present >= 4 && o->bytes[2] == 'M' &&
	       o->bytes[3] == 'C';
}

static inline enum canary_presence naive_find_canary(const uint8_t *bytes, size_t length,
						     uint32_t nonce)
{
	struct naive_option list[TCP_OPTIONS_MAX_BYTES];
	int count = naive_split(bytes, (int)length, list);

	for (int i = 0; i < count; i++) {
		uint32_t value = 0;

		if (!naive_is_canary(&list[i]))
			continue;
		if (list[i].claimed != 8 || list[i].present != 8)
			return CANARY_ALTERED;
		for (int b = 4; b < 8; b++)
			value = value * 256 + list[i].bytes[b];
		return value == nonce ? CANARY_MIRRORED : CANARY_ALTERED;
	}
	return CANARY_NONE;
}

#endif
