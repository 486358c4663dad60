/* Before libfaketime: its pthread_cond_timedwait ends at once for conditions on the monotonic clock, as Python's
   are, so that a threaded program burns a core. This one is the C library's own. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>

typedef int waiter(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
static waiter *own;

__attribute__((constructor)) static void find(void)
{
    own = (waiter *) dlsym(dlopen("libc.so.6", RTLD_LAZY), "pthread_cond_timedwait");
}

int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    return own(cond, mutex, until);
}
