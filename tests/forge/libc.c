/* A libc with FreeBSD's calls, for Linux: what the ctypes declarations are tried against. */
#include <stddef.h>
#include <stdint.h>

extern int *__errno_location(void);

static int fail(int error) { *__errno_location() = error; return -1; }
static int same(const char *a, const char *b) { while (*a && *a == *b) a++, b++; return *a == *b; }

/* sysctl(3): MIB {7, n} is a text of n bytes; {8, n} fails with errno n. */
int sysctl(const int *name, unsigned namelen, void *old, size_t *oldlen, const void *new, size_t newlen)
{
	if (namelen != 2 || new != NULL || newlen != 0)
		return fail(20);
	if (name[0] != 7)
		return fail(name[0] == 8 ? name[1] : 2);
	size_t whole = (size_t)name[1], room = *oldlen;
	if (old == NULL) {
		*oldlen = whole;
		return 0;
	}
	*oldlen = room < whole ? room : whole;
	for (size_t at = 0; at < *oldlen; at++)
		((char *)old)[at] = (char)('a' + at % 26);
	return room < whole ? fail(12) : 0;
}

/* sysctlnametomib(3): "test.text" is {7, 300}, "test.short" {7, 4}. */
int sysctlnametomib(const char *name, int *mib, size_t *size)
{
	int length = same(name, "test.text") ? 300 : same(name, "test.short") ? 4 : 0;
	if (length == 0)
		return fail(2);
	if (*size < 2)
		return fail(12);
	mib[0] = 7;
	mib[1] = length;
	*size = 2;
	return 0;
}

struct kld_sym_lookup {
	int version;
	char *symname;
	unsigned long symvalue;
	size_t symsize;
};

/* kldsym(2): knows "allproc"; "secret" is EPERM and "broken" EINVAL. */
int kldsym(int fileid, int cmd, struct kld_sym_lookup *data)
{
	if (fileid != 0 || cmd != 1 || data->version != (int)sizeof *data)
		return fail(22);
	if (same(data->symname, "secret"))
		return fail(1);
	if (same(data->symname, "broken"))
		return fail(22);
	if (!same(data->symname, "allproc"))
		return fail(2);
	data->symvalue = 0xffffffff80ee6118UL;
	data->symsize = 8;
	return 0;
}

/* devname_r(3): one character device has a name. */
char *devname_r(uint64_t dev, uint16_t type, char *buf, int len)
{
	const char *name = dev == 0x1234567890abcdefULL && type == 0020000 ? "vtbd4" : "#C:0x33";
	int at = 0;
	for (; name[at] && at < len - 1; at++)
		buf[at] = name[at];
	buf[at] = 0;
	return buf;
}

/* getfsstat(2): as many structs as the first call's error code says; each is its number, repeated. */
int mounted = 3, refused_mounts = 0;

int getfsstat(unsigned char *buf, long size, int mode)
{
	if (refused_mounts || mode != 2)
		return fail(refused_mounts ? refused_mounts : 22);
	if (buf == NULL)
		return mounted++;
	long room = size / 64, count = room < mounted ? room : mounted;
	for (long at = 0; at < count * 64; at++)
		buf[at] = (unsigned char)(1 + at / 64);
	return (int)count;
}
