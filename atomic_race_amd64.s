//go:build race || atomicasm

#include "textflag.h"

// func load32(p *uint32) uint32
TEXT ·load32(SB), NOSPLIT, $0-12
	MOVQ p+0(FP), BX
	MOVL (BX), AX
	MOVL AX, ret+8(FP)
	RET

// func load64(p *uint64) uint64
TEXT ·load64(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), BX
	MOVQ (BX), AX
	MOVQ AX, ret+8(FP)
	RET

// func store32(p *uint32, x uint32)
TEXT ·store32(SB), NOSPLIT, $0-12
	MOVQ  p+0(FP), BX
	MOVL  x+8(FP), AX
	XCHGL AX, (BX) // a MOV could pass a later load
	RET

// func store64(p *uint64, x uint64)
TEXT ·store64(SB), NOSPLIT, $0-16
	MOVQ  p+0(FP), BX
	MOVQ  x+8(FP), AX
	XCHGQ AX, (BX)
	RET

// func cas32(p *uint32, old, x uint32) bool
TEXT ·cas32(SB), NOSPLIT, $0-17
	MOVQ     p+0(FP), BX
	MOVL     old+8(FP), AX
	MOVL     x+12(FP), CX
	LOCK
	CMPXCHGL CX, (BX)
	SETEQ    ret+16(FP)
	RET

// func cas64(p *uint64, old, x uint64) bool
TEXT ·cas64(SB), NOSPLIT, $0-25
	MOVQ     p+0(FP), BX
	MOVQ     old+8(FP), AX
	MOVQ     x+16(FP), CX
	LOCK
	CMPXCHGQ CX, (BX)
	SETEQ    ret+24(FP)
	RET
