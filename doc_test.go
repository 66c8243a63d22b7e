package mmap

// Which file proves what. A test file stands beside each room and has its name;
// what needs Linux ends in _linux_test.go. What they share is in helpers_test.go.
//
//	mmap, place, region, typed, byteorder, atomic    zero copy, any offset, the interface and its edges
//	layout, inline                                   one layout everywhere; accesses inline
//	mapping, race, quarantine, grace, registry       nothing stale reads foreign data; Close waits for nobody
//	guard, guard_table, region_table, diagnose       a fault is an error, of every access and of every function
//	resize, transfer, file                           a region never moves; growth, shrinking, other processes
//	advice, resident, memfile                        what the system is told of memory, and tells; memory to hand over
//	shared                                           named memory, and names that others took
//	sync                                             durable means durable, through kills
//	detector                                         the race detector reports programs with a race, and no others
//	cold, cold_bench                                 cold data is waited for in system calls, and hot data costs nearly nothing
//	wait                                             no wake-up is lost, between processes too; what else ends a wait
//	registers                                        exactly one access of a device's register
//	conformance                                      what public tests of mapped memory check, each by its name
//	model, model_step                                random sequences of calls, against plain bytes
//
// What needs hardware of its own is in internal/vmtest/probes: disks that fail or lose
// power, persistent memory, PCI devices. internal/vmtest runs all of this on real
// kernels.
//
// Children: what could end the process, limits it or needs another one is
// registered as a child (child_test.go): the test binary again, told by a variable
// what to do. MMAP_TEST_RUNNER is the emulator that it needs, if any.
// MMAP_TEST_ROUNDS is a percentage: how many rounds the long loops go (rounds).
//
// The fault table is a product: every access of guard_table_test.go and every
// function of region_table_test.go, on parts of a region before and after where a
// trouble begins. diagnose_test.go is the table of causes, over all findings.
//
// The model does to bytes what a script, random or of a fuzzer, does to a region,
// and says what must be read and where a fault must be.
