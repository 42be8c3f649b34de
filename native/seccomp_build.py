# SPDX-License-Identifier: Apache-2.0
"""Build `native._seccomp`: libseccomp's compiler of filters, and seccomp(2) itself.

A module of its own, apart from the other native code, because it alone links libseccomp: a start
whose filter is cached must not load the library, and a host without it can run containers that
have no profile.  Needs libseccomp 2.5.0 or newer (SCMP_FLTATR_CTL_OPTIMIZE, SCMP_ACT_NOTIFY).
"""

from cffi import FFI

CDEF = """
/* <seccomp.h> */
typedef void *scmp_filter_ctx;
typedef uint64_t scmp_datum_t;

struct scmp_version { unsigned int major; unsigned int minor; unsigned int micro; };

struct scmp_arg_cmp {
    unsigned int arg;
    int op;                     /* enum scmp_compare */
    scmp_datum_t datum_a;
    scmp_datum_t datum_b;
    ...;
};

#define SCMP_CMP_NE ...
#define SCMP_CMP_LT ...
#define SCMP_CMP_LE ...
#define SCMP_CMP_EQ ...
#define SCMP_CMP_GE ...
#define SCMP_CMP_GT ...
#define SCMP_CMP_MASKED_EQ ...

#define SCMP_FLTATR_CTL_OPTIMIZE ...
#define SCMP_ARCH_X32 ...
#define SCMP_ARCH_X86_64 ...
#define SCMP_ARCH_S390 ...
#define SCMP_ARCH_S390X ...

const struct scmp_version *seccomp_version(void);
unsigned int seccomp_api_get(void);
scmp_filter_ctx seccomp_init(uint32_t def_action);
void seccomp_release(scmp_filter_ctx ctx);
uint32_t seccomp_arch_native(void);
uint32_t seccomp_arch_resolve_name(const char *arch_name);
int seccomp_arch_add(scmp_filter_ctx ctx, uint32_t arch_token);
int seccomp_syscall_resolve_name(const char *name);
int seccomp_syscall_resolve_name_arch(uint32_t arch_token, const char *name);
char *seccomp_syscall_resolve_num_arch(uint32_t arch_token, int num);
int seccomp_rule_add_array(scmp_filter_ctx ctx, uint32_t action, int syscall,
                           unsigned int arg_cnt, const struct scmp_arg_cmp *arg_array);
int seccomp_export_bpf(const scmp_filter_ctx ctx, int fd);

/* ours */
int attr_set(scmp_filter_ctx ctx, int attr, uint32_t value);
const char *library_path(void);
int seccomp_syscall(unsigned int op, unsigned int flags, void *args);

/* <linux/seccomp.h> */
#define SECCOMP_SET_MODE_FILTER ...
#define SECCOMP_GET_ACTION_AVAIL ...
#define SECCOMP_FILTER_FLAG_TSYNC ...
#define SECCOMP_FILTER_FLAG_LOG ...
#define SECCOMP_FILTER_FLAG_SPEC_ALLOW ...
#define SECCOMP_FILTER_FLAG_NEW_LISTENER ...
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV ...
#define SECCOMP_RET_KILL_PROCESS ...
#define SECCOMP_RET_KILL_THREAD ...
#define SECCOMP_RET_TRAP ...
#define SECCOMP_RET_ERRNO ...
#define SECCOMP_RET_USER_NOTIF ...
#define SECCOMP_RET_TRACE ...
#define SECCOMP_RET_LOG ...
#define SECCOMP_RET_ALLOW ...

/* <linux/filter.h> */
struct sock_filter { uint16_t code; uint8_t jt; uint8_t jf; uint32_t k; };
struct sock_fprog { unsigned short len; struct sock_filter *filter; };

/* <stdlib.h> */
void free(void *ptr);
"""

SOURCE = """
#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux 5.19; the headers may be older than the kernel that we run on. */
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

/* seccomp_attr_set() takes an enum, whose width cffi would have to guess. */
static int attr_set(scmp_filter_ctx ctx, int attr, uint32_t value)
{
    return seccomp_attr_set(ctx, (enum scmp_filter_attr)attr, value);
}

/* The object that the dynamic linker chose; this module itself if the link is static. */
static const char *library_path(void)
{
    Dl_info info;

    if (dladdr((void *)(uintptr_t)seccomp_version, &info) == 0)
        return NULL;
    return info.dli_fname;
}

/* The C libraries have no wrapper for seccomp(2). */
static int seccomp_syscall(unsigned int op, unsigned int flags, void *args)
{
    return (int)syscall(SYS_seccomp, op, flags, args);
}
"""

ffibuilder = FFI()
ffibuilder.cdef(CDEF)
ffibuilder.set_source(
    "native._seccomp",
    SOURCE,
    libraries=["seccomp"],
    define_macros=[("_GNU_SOURCE", None)],  # dladdr(3)
    # cffi's own generated functions leave parameters unused.
    extra_compile_args=["-std=c11", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"],
    py_limited_api=True,
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
