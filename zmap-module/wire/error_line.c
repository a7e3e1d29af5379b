#include "error_line.h"

#include <stdarg.h>
#include <stdio.h>

void error_line(char *error, size_t size, const char *format, ...)
{
	va_list values;

	va_start(values, format);
	vsnprintf(error, size, format, values);
	va_end(values);
	for (char *c = error; *c != '\0'; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
}
