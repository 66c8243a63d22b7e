// Package mmap maps files, devices and memory, and views the mapped bytes as typed
// values, in place.
//
//   - To read or change a file in place: [Open], [Create] or [OpenOrCreate], then [ViewOf].
//   - To survive what others do to the file: wrap loops over views in [Guard].
//   - To share memory with other processes: [AtomicOf] on a file, [Shared] or [MemFile].
//   - To go over a file that is not in memory yet: [View.Chunks].
//   - To access the registers of a device: [Map] and [RegistersOf].
//   - To have every option of mmap(2): [Config]. For an open file or a device: [Map].
//
// A [Region] owns a mapping. Views of it load and store the mapped bytes
// themselves, at the speed of a slice and without a copy: [View] in the machine's
// byte order, [BigEndian] and [LittleEndian] in that of a file format, [AtomicView]
// for memory that others share, [Registers] for devices.
//
//	r, err := mmap.Open("log.txt", mmap.ReadWrite)
//	if err != nil {
//		return err
//	}
//	defer r.Close()
//	v, err := mmap.ViewOf[int32](r, 0, mmap.ToEnd)
//	if err != nil {
//		return err
//	}
//	v.Set(0, v.At(0)+1)
//	return r.Sync()
//
// Mapped memory breaks rules that Go programs rely on. It can vanish, change by
// itself, and outlive or be outlived by what points to it. The rest of this page
// says what this package promises about that, kind by kind.
//
// # Bounds
//
// A view is checked once, when it is made: it lies within its region, and its
// length does not change. Every index is checked against that length, and a bad one
// panics, as for a slice. Methods that take offsets return [ErrRange] instead. No
// arithmetic on offsets and lengths overflows unnoticed, and no length from a
// hostile file leads out of the region. Of the negative numbers only [ToEnd] means
// something.
//
// # Lifetime
//
// A region never moves. Its address is fixed from Map on. It grows inside address
// space that [Config.Reserve] held for it, so views made before [Region.Resize] are
// valid after it.
//
// Nothing stale reads foreign data. [Region.Close] replaces the mapping, in one
// step, by address space that nothing can access: a tombstone. It stays until no
// Region and no view is left that could reach it, and every Guard is over that may
// have to ask about it. So an access after or during Close faults, and never sees
// what was mapped there next. A Region that becomes unreachable without Close is
// unmapped by the garbage collector, though at no particular time.
//
// What [Region.Bytes], [Region.Reserved], [View.Slice] and [View.Ptr] return is raw
// memory. The collector does not see it, and it does not keep its region:
//
//   - Once raw memory of a region was handed out, only Close unmaps it, ever.
//   - After Close it stays inaccessible as long as a Region or a view is reachable,
//     and then in a quarantine. The oldest leave that first, and all of them when
//     the system refuses more address space. Only a slice used after even that may
//     meet memory of something else. Do not keep one beyond Close.
//
// The quarantine holds at most an eighth of the address space and of the mappings
// that the process may have (on Linux: RLIMIT_AS, vm.max_map_count). What waits for
// Guards is bounded in the same way.
//
// A mapping is this package's until it unmaps it. To unmap it behind the package's
// back, by munmap(2) on [Region.Addr], is fatal: the next mapping there is torn
// away when the region is closed.
//
// # Alignment
//
// Offsets of files, regions, Sync and Populate are in bytes and may have any value;
// pages are the package's affair. The elements of a View and an AtomicView must be
// aligned to their size, on every machine alike, and making a view checks it
// ([ErrAlignment]). BigEndian, LittleEndian, [Get] and [Put] take any alignment.
// What types a view accepts have the same bytes on every machine of the same byte
// order: see [StructViewOf].
//
// # Faults
//
// An access that the system cannot serve is a fault: the file was truncated, the
// region is closed or read-only, the device broken, the disk full. Every function
// that returns an error turns it into one: a [*FaultError], which says where and
// why. [Guard] does the same for accesses of your own, on the goroutine that calls
// it; its documentation lists what it cannot reach. A fault elsewhere ends the
// process: "unexpected fault address 0x7f...", "fatal error: fault".
//
//	err := mmap.Guard(func() error {
//		sum := 0 // fn's own variable: see Guard
//		for _, x := range v.All() {
//			sum += int(x)
//		}
//		total = sum
//		return nil
//	})
//
// To be safe from faults where Guard does not reach, copy first ([Region.ReadAt],
// [View.CopyTo], [Get]).
//
// Faults are found page by page. When a file is truncated in the middle of a page,
// the rest of that page reads as zero, and what is stored there is lost. Neither is
// a fault (mmap(2), NOTES). [Region.Sync] of a ReadWrite region notices and says
// [ErrTruncated]. To be sure that all of a file was there while it was only read, call
// [Region.Refresh] at the end, and compare Len. Only accesses that the compiler makes can fault: it may leave out a load whose
// result is not used.
//
// # Threads
//
// Every method of a Region may be called at any time from any goroutine. Close does
// not wait for the others; they return ErrClosed. Views are values and may be
// copied and shared. Accesses to the same bytes follow the rules of Go's memory
// model as for any memory: where two happen at a time, and one is a store, use an
// AtomicView, or a lock. Close, Resize, Refresh and Protect count as neither.
//
// # The race detector
//
// In a build with -race, the detector finds data races in mapped memory, to the byte,
// through whichever regions of the process the byte is reached. Views, [Get], [Put] and
// the methods of Region that copy tell it what they load and store. An [AtomicView] puts
// goroutines in order, for all memory. A plain access beside its operations is a race,
// as it is beside those of sync/atomic. With -race, an access through a view takes
// about 0.1 µs, and an operation of an AtomicView up to 1 µs
// (go test -race -run '^$' -bench Access).
//
// It cannot see everything:
//
//   - Raw memory: what is done to what Bytes, Reserved, Slice and Ptr return.
//   - What is read and written through an [os.File].
//   - Other processes: what they store, and an order that goes through one. Data in
//     ordinary memory that goroutines hand over by way of another process can be
//     reported although there is no race.
//   - The memory of devices, and [Registers].
//   - More than 48 MiB of mapped memory at a time, in blocks of 64 KiB, those that were
//     accessed first. Regions that are closed give theirs back. Beyond 64 MiB,
//     AtomicViews still make all the order that they should, and may make more, which
//     can hide a race.
//
// Regions from separate calls of [Open] count as one file where the system can be sure
// that they are: on Linux on ext4, XFS, Btrfs, F2FS, tmpfs and hugetlbfs. Elsewhere,
// overlayfs (as in containers) and network file systems included, those of one [os.File] do, and for the
// order of AtomicViews all that have one inode number. A CopyOnWrite region counts as
// memory of its own. A file that is reached by two numbers (of overlayfs, and beneath it)
// counts as two.
//
// The addresses in a report are of the detector's own memory. Their last three digits
// are those of the offset in the file; the stacks show the accesses.
//
// # Cold data
//
// A page fault on slow storage holds its thread, and the processor that Go gave it.
// Once the collector wants to stop the world, it waits for the fault too, and the
// whole program stands still. A system call holds nobody up. So bring cold data in by
// system calls:
//
//   - To go over much of a file once or for the first time: [View.Chunks]. It reads
//     ahead, and asks the system once for each MiB.
//   - To take a copy: [Region.ReadAt], [View.CopyTo], [Region.WriteTo]. Those of 64 KiB
//     or more ask first whether pages are missing, and wait in a system call if so.
//     What was there is not asked for again within a tenth of a second. Shorter ones,
//     [Get] and views do not ask: it would cost more than the copy.
//   - To access a place that may be cold, by a view: [View.Populate] before it.
//   - To have data read while the program does other things: [Region.Advise] with
//     [WillNeed].
//   - To read places in no order: Advise with [Random] first, or a fault reads as much
//     around the place as the disk's read-ahead, which may be megabytes.
//   - To go over a file that is larger than memory: Advise with [Sequential] first. Then
//     the pages that the loop has left go before those that it comes to.
//   - What is in memory anyhow: [View.At], which costs no more than a slice.
//
// Linux tells which pages of a file are in memory only to the owner, and to who may
// write it. Long copies out of files of others wait in page faults. Chunks and
// Populate do not: they bring in what may be there already.
//
// # When not to map
//
//   - For short reads at random from slow or network storage, which is cold: use
//     [os.File]. Each read of it is one system call, and so is Populate.
//   - For a file that is read once, in order, when a copy does no harm: os.File is as fast
//     on a local disk. A small file is read faster by [os.ReadFile].
//   - For a file that others truncate as they like, unless all accesses are under
//     Guard or are copies.
//   - For pipes, sockets and terminals, which cannot be mapped.
//   - For a small change that must be durable: write and fsync are faster. The system
//     writes more than what was stored.
//   - To append, unless others are to see each record at once: every new page is a page
//     fault. os.File with a buffer is faster.
//
// A hole in a sparse file takes memory when it is read from a tmpfs. Pages of a
// mapping count against the memory limit of a cgroup, and a process that exceeds it
// is killed.
//
// # Advice, locks and residency
//
// [Region.Advise] tells the system how memory will be used: in order, at random,
// not soon. Most advice is a hint; what loses bytes says so. [Region.Lock] keeps
// pages from being swapped out, [Region.Resident] says which are in memory.
//
// # Devices
//
// The package itself never touches a device: every access is one that the program
// asked for. [Registers] access a register once, with its width. Views and copies
// promise neither: they are for memory of a device. Driver and processor decide what
// may be reordered: see Registers.
//
// # Memory for another process
//
// [MemFile] makes a file that lives in memory. Hand it to a child through
// exec.Cmd.ExtraFiles, and map it on both sides. A side that does not trust the
// other does three things:
//
//   - Before it maps, it asks [SealsOf] for SealShrink. Then no access can fault.
//   - It loads each offset and length once ([Get], an AtomicView), and makes its views
//     of them. Making a view checks them against the region.
//   - It copies what must not change between check and use.
//
// Then the other side can send wrong bytes, and break nothing.
//
// Processes that are not parent and child agree on a name: [Shared] maps the memory of
// that name, for all processes of one user, until [RemoveShared]. Another user can take
// the name first. Then Shared is an error, and touches nothing. Any process of the
// user can truncate the memory: Guard is for that. The program in examples/ring is a
// queue between two processes, which goes on when either is killed.
//
// # Processes that wait for each other
//
// [AtomicView.Wait] waits until another goroutine or process has changed a 32-bit
// integer and called [AtomicView.Wake]. It may return without a reason, so it stands
// in a loop:
//
//	for v.Load(0) == seen {
//		if err := v.Wait(ctx, 0, seen); err != nil {
//			return err
//		}
//	}
//
// Wait itself returns an error after Close or a truncation. Load faults then, so the
// whole loop belongs under [Guard].
//
// The other side stores its data, then changes the integer, then wakes:
//
//	v.Add(0, 1)
//	v.Wake(0, 1) // or math.MaxInt for all
//
// Use a counter that goes up with every change. A value that comes back looks like no
// change to a waiter that was not fast enough. A 64-bit integer, such as a position in
// a stream, has such a counter beside it: store the integer first, then the counter.
//
// A process that is killed or stopped wakes nobody, and leaves half done what it was
// in the middle of. Give Wait a context with a deadline, and look then whether the
// other side is still there. Each side can hold a lock on a byte of a file, which the
// system releases when its process ends, however that comes: examples/ring does so. Or
// each side counts up an integer now and then. Then a process that is stopped looks
// dead, too. Where the system has no such wait, Wait polls.
//
// # Files
//
// A region keeps to the file that it mapped, whatever its name leads to later. It
// owns the file that Open, Create, OpenOrCreate or Shared opened, until Close. It borrows
// the one that Map was given, and duplicates nothing: see [Config.Map]. Closing an
// owned file releases the fcntl(2) locks that the process has on that file, as any
// close(2) does. Who uses such locks calls Map.
//
// # Other processes
//
// Stores to a ReadWrite region are at once what every other process reads from the
// file, mapped or not. Another process may truncate the file (a fault, see above),
// extend it ([Region.Refresh] takes that up), or change bytes between two loads of
// the same value: copy first what must not change between check and use. Locks are
// advisory and not this package's; see flock(2).
//
// # Durability
//
// Nothing is durable before [Region.Sync] returns nil. A write-back that failed once
// is never forgotten: every Sync of the file returns it until all its regions in the
// process are closed. [Region.Flush] only starts writing. What nil means depends on
// the file:
//
//   - On a disk: data and size survive a loss of power, and the name, if Create or
//     OpenOrCreate was given it. A disk without a file system (a block device) likewise.
//   - On a network file system: the server has them.
//   - On persistent memory (DAX): as on a disk. [Region.Sync] says what
//     unix.MAP_SYNC in [Config.Flags] adds.
//   - In memory, on tmpfs, and CopyOnWrite: nothing survives, and there is nothing to do.
//
// After a Sync that failed, what was stored since the last one that returned nil may
// be lost, although the mapping still shows it. [Region.Sync] says what to do then.
//
// # Systems
//
// Linux, on every architecture that Go has there.
//
// Windows from 10 (1803) on, tested under Wine only. Windows does not shorten a file
// while anyone has it mapped: [Region.Resize] to less is an error there, and a
// growth that fails may leave the file longer. A region that has grown is several
// views, one for every growth beyond its last page, which Close gives back one after
// another: a program that appends should grow in large steps, such as a quarter of
// what there is. Before Windows 10 (1803) a region of a file cannot grow, and its file
// can be deleted or truncated only when nothing reaches the closed region any more.
//
// [Shared] has its names in /dev/shm on Linux. On the other systems they are files of
// [os.TempDir], on a disk as a rule, which all processes must have in common. On Windows
// [RemoveShared] needs that nobody has the memory mapped.
//
// macOS, FreeBSD, NetBSD, OpenBSD, DragonFly, Solaris and illumos take the plain
// POSIX ways. Those are tested on Linux; what each system has of its own follows its
// manual and its kernel's source, and was never run.
//
//   - OpenBSD keeps mapped pages and what read(2) and write(2) see apart. Call Sync
//     before another program reads the file, and before looking at what one wrote.
//     Never let both change one page: that of the mapping wins.
//   - On macOS, FreeBSD, OpenBSD and DragonFly, and on ZFS anywhere, a store to a hole
//     of a file is accepted. That the disk is full is Sync's error.
//   - On macOS and OpenBSD, what failed in the system's own write-back between two
//     Syncs may never be reported.
//   - On OpenBSD, DragonFly and FreeBSD's UFS, Sync hands the data to the drive. So it
//     does on NetBSD if the file is not open for writing, and on macOS where the file
//     system has no F_FULLFSYNC. Whether the drive's own cache survives a loss of power
//     is the drive's affair.
//   - On DragonFly, Close makes the pages inaccessible and keeps the file until the
//     region is unreachable. When memory shrinks, another thread's mapping could in
//     that moment be given the pages; Cap is then smaller.
//
// Elsewhere, AIX included, every function that maps returns
// [errors.ErrUnsupported].
package mmap
