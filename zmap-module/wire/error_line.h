#ifndef MPCENSUS_ERROR_LINE_H
#define MPCENSUS_ERROR_LINE_H

#include <stddef.h>

/*
 * As snprintf, but what is not printable ASCII becomes a question mark: an error is one
 * line, whatever the user typed into it.
 */
void error_line(char *error, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
