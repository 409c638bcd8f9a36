/* Put before libasan with LD_PRELOAD: PHP loads extensions with RTLD_DEEPBIND, with
 * which AddressSanitizer refuses to work. */
#define _GNU_SOURCE
#include <dlfcn.h>

void *dlopen(const char *file, int mode)
{
	void *(*next)(const char *, int) = (void *(*)(const char *, int)) dlsym(RTLD_NEXT, "dlopen");

	return next(file, mode & ~RTLD_DEEPBIND);
}
