/*
 * Preloaded into two ZMaps, it makes them draw the same secrets: then their probes, and
 * the rows for the same replies, must be equal.
 */
#include <sys/random.h>

ssize_t getrandom(void *buffer, size_t length, unsigned flags)
{
	unsigned char *bytes = buffer;

	(void)flags;
	for (size_t i = 0; i < length; i++)
		bytes[i] = (unsigned char)(i * 37 + 11);
	return (ssize_t)length;
}
