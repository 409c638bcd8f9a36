PHP_ARG_ENABLE([rr],
  [whether to enable rr],
  [AS_HELP_STRING([--enable-rr], [Enable rr, the worker's end of rrd's shared memory])],
  [yes])

if test "$PHP_RR" != "no"; then
  AC_CHECK_HEADERS([linux/futex.h], [], [AC_MSG_ERROR([rr needs Linux: it waits with futexes])])
  PHP_NEW_EXTENSION([rr], [rr.c slots.c names.c json.c proto.c response.c], [$ext_shared],, [-Wall -Wextra -Wno-unused-parameter -fvisibility=hidden])
  PHP_ADD_EXTENSION_DEP([rr], [spl])
fi
