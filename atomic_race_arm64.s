//go:build race || atomicasm

#include "textflag.h"

// Load-acquire, store-release and exclusive pairs of both: sequentially
// consistent, and in every arm64.

// func load32(p *uint32) uint32
TEXT ·load32(SB), NOSPLIT, $0-12
	MOVD  p+0(FP), R0
	LDARW (R0), R1
	MOVW  R1, ret+8(FP)
	RET

// func load64(p *uint64) uint64
TEXT ·load64(SB), NOSPLIT, $0-16
	MOVD p+0(FP), R0
	LDAR (R0), R1
	MOVD R1, ret+8(FP)
	RET

// func store32(p *uint32, x uint32)
TEXT ·store32(SB), NOSPLIT, $0-12
	MOVD  p+0(FP), R0
	MOVW  x+8(FP), R1
	STLRW R1, (R0)
	RET

// func store64(p *uint64, x uint64)
TEXT ·store64(SB), NOSPLIT, $0-16
	MOVD p+0(FP), R0
	MOVD x+8(FP), R1
	STLR R1, (R0)
	RET

// func cas32(p *uint32, old, x uint32) bool
TEXT ·cas32(SB), NOSPLIT, $0-17
	MOVD p+0(FP), R0
	MOVW old+8(FP), R1
	MOVW x+12(FP), R2

again:
	LDAXRW (R0), R3
	CMPW   R1, R3
	BNE    done
	STLXRW R2, (R0), R4
	CBNZ   R4, again

done:
	CSET EQ, R0
	MOVB R0, ret+16(FP)
	RET

// func cas64(p *uint64, old, x uint64) bool
TEXT ·cas64(SB), NOSPLIT, $0-25
	MOVD p+0(FP), R0
	MOVD old+8(FP), R1
	MOVD x+16(FP), R2

again:
	LDAXR (R0), R3
	CMP   R1, R3
	BNE   done
	STLXR R2, (R0), R4
	CBNZ  R4, again

done:
	CSET EQ, R0
	MOVB R0, ret+24(FP)
	RET
