/*
 * What busybox cannot do in a guest: named threads, swap areas of a chosen priority, and a crash
 * kernel.  Without a C library, which would have to be built for every architecture.
 *
 *   stage threads NAME...           one more thread for each NAME, and all of them wait for ever
 *   stage swapon DEVICE PRIORITY    swapon(2) with a priority of its own (0-9)
 *   stage crashkernel KERNEL INITRD COMMAND_LINE    kexec_file_load(2) for a panic
 */
enum {
    CLONE_LIKE_PTHREADS = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000, /* VM..THREAD, SYSVSEM */
    SET_NAME = 15,
    SWAP_FLAG_PREFER = 0x8000,
    KEXEC_FILE_ON_CRASH = 2,
    READ_ONLY = 0,
    STACK = 16384,
    MOST = 16,
};

#if defined(__x86_64__)
enum { EXIT = 231, PPOLL = 271, PRCTL = 157, SWAPON = 167, OPEN_AT = 257, KEXEC = 320 };
enum { CLONE = 56, AT = -100 };
static long call(long number, long a, long b, long c, long d, long e) {
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return number;
}
static void begin(void (*body)(void), void *stack) {
    long number = CLONE;
    __asm__ volatile("syscall; test %%rax, %%rax; jnz 1f; call *%[body]; 1:"
                     : "+a"(number)
                     : "D"(CLONE_LIKE_PTHREADS), "S"(stack), "d"(0), [body] "r"(body)
                     : "rcx", "r11", "memory");
}
__asm__(".globl _start; _start: mov %rsp, %rdi; and $-16, %rsp; call enter");
#elif defined(__i386__)
enum { EXIT = 252, PPOLL = 309, PRCTL = 172, SWAPON = 87, OPEN_AT = 295, KEXEC = -1 };
enum { CLONE = 120, AT = -100 };
static long call(long number, long a, long b, long c, long d, long e) {
    __asm__ volatile("int $0x80" : "+a"(number) : "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
    return number;
}
static void begin(void (*body)(void), void *stack) {
    long number = CLONE;
    __asm__ volatile("int $0x80; test %%eax, %%eax; jnz 1f; call *%[body]; 1:"
                     : "+a"(number)
                     : "b"(CLONE_LIKE_PTHREADS), "c"(stack), [body] "d"(body)
                     : "memory");
}
__asm__(".globl _start; _start: mov %esp, %eax; and $-16, %esp; sub $12, %esp; push %eax; call enter");
#elif defined(__aarch64__)
enum { EXIT = 94, PPOLL = 73, PRCTL = 167, SWAPON = 224, OPEN_AT = 56, KEXEC = 294 };
enum { CLONE = 220, AT = -100 };
static long call(long number, long a, long b, long c, long d, long e) {
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
}
static void begin(void (*body)(void), void *stack) {
    register long x8 __asm__("x8") = CLONE;
    register long x0 __asm__("x0") = CLONE_LIKE_PTHREADS;
    register void *x1 __asm__("x1") = stack;
    register void (*x9)(void) __asm__("x9") = body;
    __asm__ volatile("svc 0; cbnz x0, 1f; blr x9; 1:" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x9)
                     : "memory", "x30");
}
__asm__(".globl _start; _start: mov x0, sp; bl enter");
#elif defined(__arm__)
enum { EXIT = 248, PPOLL = 336, PRCTL = 172, SWAPON = 87, OPEN_AT = 322, KEXEC = 401 };
enum { CLONE = 120, AT = -100 };
static long call(long number, long a, long b, long c, long d, long e) {
    register long r7 __asm__("r7") = number;
    register long r0 __asm__("r0") = a;
    register long r1 __asm__("r1") = b;
    register long r2 __asm__("r2") = c;
    register long r3 __asm__("r3") = d;
    register long r4 __asm__("r4") = e;
    __asm__ volatile("svc 0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2), "r"(r3), "r"(r4) : "memory");
    return r0;
}
static void begin(void (*body)(void), void *stack) {
    register long r7 __asm__("r7") = CLONE;
    register long r0 __asm__("r0") = CLONE_LIKE_PTHREADS;
    register void *r1 __asm__("r1") = stack;
    register void (*r5)(void) __asm__("r5") = body;
    __asm__ volatile("svc 0; cmp r0, #0; bne 1f; blx r5; 1:" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r5)
                     : "memory", "lr", "cc");
}
__asm__(".globl _start; .type _start, %function; _start: mov r0, sp; bl enter");
#elif defined(__powerpc64__)
enum { EXIT = 234, PPOLL = 281, PRCTL = 171, SWAPON = 87, OPEN_AT = 286, KEXEC = 382 };
enum { CLONE = 120, AT = -100 };
static long call(long number, long a, long b, long c, long d, long e) {
    register long r0 __asm__("r0") = number;
    register long r3 __asm__("r3") = a;
    register long r4 __asm__("r4") = b;
    register long r5 __asm__("r5") = c;
    register long r6 __asm__("r6") = d;
    register long r7 __asm__("r7") = e;
    __asm__ volatile("sc; bns+ 1f; neg 3, 3; 1:"
                     : "+r"(r0), "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6), "+r"(r7)
                     :: "memory", "cr0", "ctr", "r8", "r9", "r10", "r11", "r12");
    return r3;
}
static void begin(void (*body)(void), void *stack) {
    register long r0 __asm__("r0") = CLONE;
    register long r3 __asm__("r3") = CLONE_LIKE_PTHREADS;
    register void *r4 __asm__("r4") = stack;
    register void (*r14)(void) __asm__("r14") = body;
    __asm__ volatile("sc; cmpdi 3, 0; bne 1f; mr 12, 14; mtctr 12; bctrl; 1:"
                     : "+r"(r0), "+r"(r3), "+r"(r4)
                     : "r"(r14)
                     : "memory", "cr0", "ctr", "lr", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12");
}
__asm__(".globl _start; _start: lis 2, .TOC.@ha; addi 2, 2, .TOC.@l; mr 3, 1; clrrdi 1, 1, 4;"
        "stdu 1, -64(1); bl enter");
#endif

static char stacks[MOST][STACK] __attribute__((aligned(64)));
static char *const *names;
static volatile int begun;

static void wait_for_ever(void) {
    for (;;)
        call(PPOLL, 0, 0, 0, 0, 0);
}

static void thread(void) {
    call(PRCTL, SET_NAME, (long)names[begun], 0, 0, 0);
    begun++;
    wait_for_ever();
}

static void threads(int count, char *const *wanted) {
    names = wanted;
    for (int i = 0; i < count && i < MOST; i++) {
        begin(thread, stacks[i] + STACK - 256);
        while (begun == i)
            ; /* the next thread takes the next name */
    }
    wait_for_ever();
}

static long opened(const char *path) { return call(OPEN_AT, AT, (long)path, READ_ONLY, 0, 0); }

static long crashkernel(char *const *paths) {
    const char *line = paths[2];
    long length = 1;
    while (line[length - 1])
        length++;
    return call(KEXEC, opened(paths[0]), opened(paths[1]), length, (long)line, KEXEC_FILE_ON_CRASH);
}

static long run(long count, char *const *words) {
    if (count > 2 && words[1][0] == 't')
        threads(count - 2, words + 2);
    if (count == 4 && words[1][0] == 's')
        return call(SWAPON, (long)words[2], SWAP_FLAG_PREFER | (words[3][0] - '0'), 0, 0, 0);
    return count == 5 ? crashkernel(words + 2) : -1;
}

__attribute__((used)) static void enter(long *stack) {
    call(EXIT, run(stack[0], (char *const *)(stack + 1)) < 0, 0, 0, 0, 0);
}
