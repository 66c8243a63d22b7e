// The work in C. Two packages compile it, each with its own flags.

#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

// In clang, the loops say it themselves.
#if defined SCALAR && !defined __clang__
#pragma GCC optimize("no-tree-vectorize")
#endif
#if defined SCALAR && defined __clang__
#define LOOP _Pragma("clang loop vectorize(disable) interleave(disable) unroll(disable)")
#else
#define LOOP
#endif

typedef struct {
	int64_t time;
	double price;
	int32_t count, kind;
} tick;

// Where a tight loop lies in memory changes its speed. So each is compiled at places that
// are 16 bytes apart, or four times that where an instruction has four.
#define PLACES 4
#define PLACE(p) __asm__ volatile(".p2align 6\n.rept 16*" #p "\nnop\n.endr")

// Between two passes the memory may have changed: no pass can be left out.
#define PASSES __asm__ volatile("" ::: "memory")

#define READ(name, p, type, add, sum)                                                   \
	__attribute__((noinline)) static uint64_t read_##name##_##p(const void *at, size_t n) { \
		const type *v = at;                                                              \
		sum t = 0;                                                                       \
		PLACE(p);                                                                        \
		LOOP for (size_t i = 0; i < n; i++) t += add;                                         \
		return (uint64_t)(int64_t)t;                                                     \
	}

#define WRITE(name, p, type, set)                                                                     \
	__attribute__((noinline)) static void write_##name##_##p(void *at, size_t n, int64_t seed) { \
		type *v = at;                                                                                  \
		PLACE(p);                                                                                      \
		LOOP for (size_t i = 0; i < n; i++) set;                                                            \
	}

// The numbers of the kinds are those of Go's kinds.
#define LOOPS(p)                                                                            \
	READ(int32, p, uint32_t, v[i], uint32_t)                                                 \
	READ(int64, p, uint64_t, v[i], uint64_t)                                                 \
	READ(float64, p, double, v[i], double)                                                   \
	READ(tick, p, tick, (uint64_t)v[i].time + (uint64_t)v[i].count + (uint64_t)(int64_t)v[i].price, uint64_t) \
	READ(big32, p, uint32_t, __builtin_bswap32(v[i]), uint32_t)                              \
	READ(big64, p, uint64_t, __builtin_bswap64(v[i]), uint64_t)                              \
	WRITE(int32, p, uint32_t, v[i] = (uint32_t)(i + (uint64_t)seed))                         \
	WRITE(int64, p, uint64_t, v[i] = i + (uint64_t)seed)                                     \
	WRITE(float64, p, double, v[i] = (double)((int64_t)i + seed))                            \
	WRITE(tick, p, tick, v[i] = ((tick){(int64_t)i + seed, (double)seed, (int32_t)i, 1}))    \
	WRITE(big32, p, uint32_t, v[i] = __builtin_bswap32((uint32_t)(i + (uint64_t)seed)))      \
	WRITE(big64, p, uint64_t, v[i] = __builtin_bswap64(i + (uint64_t)seed))

LOOPS(0)
LOOPS(1)
LOOPS(2)
LOOPS(3)

#define KINDS 6
#define ALL(what, p) {what##_int32_##p, what##_int64_##p, what##_float64_##p, what##_tick_##p, what##_big32_##p, what##_big64_##p}

static uint64_t (*const reads[PLACES][KINDS])(const void *, size_t) = {ALL(read, 0), ALL(read, 1), ALL(read, 2), ALL(read, 3)};
static void (*const writes[PLACES][KINDS])(void *, size_t, int64_t) = {ALL(write, 0), ALL(write, 1), ALL(write, 2), ALL(write, 3)};

static uint64_t read_all(int place, int kind, void *p, size_t n, int passes) {
	uint64_t t = 0;
	for (; passes > 0; passes--) {
		t += reads[place % PLACES][kind](p, n);
		PASSES;
	}
	return t;
}

static void write_all(int place, int kind, void *p, size_t n, int64_t seed, int passes) {
	for (; passes > 0; passes--) {
		writes[place % PLACES][kind](p, n, seed);
		PASSES;
	}
}

static void copies(char *dst, char *src, size_t n, size_t piece, size_t span) {
	for (size_t off = 0; n > 0; n--) {
		memcpy(dst + off, src + off, piece);
		PASSES;
		if ((off += piece) == span) off = 0;
	}
}

// Random places, as numbers of 8 bytes.

static uint64_t random_reads(uint64_t *p, uint32_t *at, size_t n) {
	uint64_t t = 0;
	for (size_t i = 0; i < n; i++) t += p[at[i]];
	return t;
}

static void random_writes(uint64_t *p, uint32_t *at, size_t n, uint64_t x) {
	for (size_t i = 0; i < n; i++) p[at[i]] = at[i] + x;
}

static int random_preads(int fd, uint32_t *at, size_t n, uint64_t *sum) {
	uint64_t t = 0, x;
	for (size_t i = 0; i < n; i++) {
		if (pread(fd, &x, sizeof x, (off_t)at[i] * 8) != sizeof x) return -1;
		t += x;
	}
	*sum = t;
	return 0;
}

static int random_pwrites(int fd, uint32_t *at, size_t n, uint64_t add) {
	for (size_t i = 0; i < n; i++) {
		uint64_t x = at[i] + add;
		if (pwrite(fd, &x, sizeof x, (off_t)at[i] * 8) != sizeof x) return -1;
	}
	return 0;
}
