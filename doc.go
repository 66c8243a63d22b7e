// Package mmap maps files, devices and memory, and views the mapped bytes as typed
// values, in place.
//
// # Where to start
//
// What do you want to do?
//
//   - Read or change the numbers in a file: [Open], then [ViewOf].
//   - Make a file, or use the one that is there: [Create], [OpenOrCreate].
//   - Read a file format, which has a byte order of its own: [BigEndianOf], [LittleEndianOf].
//   - Load or store one value in the machine's byte order: [Get], [Put].
//   - Use an array of structs: [StructViewOf].
//   - Share counters with other processes: [AtomicOf], on a file or on [Shared] memory.
//   - Wait for another process: [AtomicView.Wait].
//   - Hand memory to a child process: [MemFile].
//   - Let a mapped file grow: [Config] with Reserve, then [Region.Resize].
//   - Follow a file that another process grows: Config with Reserve, then [Region.Refresh].
//   - Survive the truncation of a file: [Guard].
//   - Go over a file that is large, or not in memory yet: [View.Chunks].
//   - Access the registers of a device: [Open] or [Map], then [RegistersOf].
//   - Use a region as a []byte: [Region.Bytes]. As an [io.ReaderAt] or [io.WriterAt]: the
//     [Region] itself.
//   - Everything else that mmap(2) can do: [Config].
//
// There is an example of each. The rest of this page says how to think of mapped memory,
// when not to use it, and what is promised about safety, kind by kind.
//
// # The model
//
// This adds 1 to the number that a file begins with:
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
//	v.Set(0, v.At(0)+1) // changes the file: nothing is copied
//	return r.Sync()     // and makes the change durable
//
// Here r is a region, and v is a view of it:
//
//	       0                       Len                   Cap
//	file   [ bytes of the file .. ]
//	region [ the same bytes ..... | reservation ....... ]  Resize and Refresh move Len.
//	view        [ T ][ T ][ T ]                            At and Set go to the file's bytes.
//
//	       after Close
//	region [ tombstone ................................ ]  Every access is a fault.
//
// The words in it:
//
//   - A region ([Region]) owns a mapping. Its address never changes.
//   - A view says where in a region values are, and of which type. [View] has the machine's
//     byte order, [BigEndian] and [LittleEndian] that of a file format. [AtomicView] is for
//     memory that others change meanwhile, [Registers] for devices. A view is a small value.
//     It keeps the garbage collector from unmapping its region.
//   - A reservation is address space behind the region, which it can grow into. It takes no
//     memory.
//   - A tombstone is what [Region.Close] leaves: address space that nobody can access. It
//     goes when nothing can reach it any more.
//   - A fault is an access that the system cannot serve. A guard ([Guard]) turns it into an
//     error.
//
// # When not to map
//
// Do not map a file
//
//   - if it is small and read once: [os.ReadFile] is faster.
//   - if it is read once, in order, from a local disk, and a copy does no harm: an [os.File]
//     is as fast.
//   - to append, unless others must see each record at once: every new page is a page fault.
//     An os.File with a buffer is faster.
//   - for a small change that must be durable: write and fsync are faster. The system
//     writes back more of a mapping than what was stored.
//   - for short reads at random from slow storage, such as a network: one read of an os.File
//     is one system call, and so is bringing in a page.
//   - if others truncate it as they like, unless every access is a copy or under [Guard].
//   - if it is a pipe, a socket or a terminal: those cannot be mapped.
//
// In a cgroup with a memory limit, pages of a file that nobody stored to are given up first.
// What counts are pages that were stored to, locked pages, memory that no file backs, and
// pages that are just being read. If they exceed the limit, the process is killed. On a
// tmpfs, a hole in a sparse file takes memory when it is read.
//
// # Coming from another library
//
// On the left is the call there, on the right the one here:
//
//	x/exp/mmap    mmap.Open(name)                  mmap.Open(name, mmap.ReadOnly)
//	              r.At(i), r.ReadAt(p, off)        r.Bytes()[i] or a view, r.ReadAt(p, off)
//	mmap-go       mmap.Map(f, mmap.RDWR, 0)        mmap.Map(f, mmap.ReadWrite), then r.Bytes()
//	              m.Flush(), m.Unmap()             r.Sync(), r.Close()
//	ristretto/z   z.OpenMmapFile(name, flag, n)    mmap.Config{Reserve: most}.OpenOrCreate(name, n)
//	              f.Truncate(n), f.Data            r.Resize(n), r.Bytes()
//	unix          unix.Mmap(fd, off, n, …)         mmap.Config{Offset: off, Length: n, …}.Map(f)
//	C             MAP_PRIVATE, MAP_ANONYMOUS       CopyOnWrite, Anonymous
//	              PROT_READ, PROT_WRITE, PROT_EXEC Mode, Config.Exec
//	              MAP_POPULATE, mlock, MAP_HUGETLB Populate, Lock, HugePages
//	              msync, mprotect, madvise         Sync and Flush, Protect, Advise
//	              mremap, mincore                  Resize within Reserve, Resident
//	              memfd_create, shm_open, futex    MemFile, Shared, AtomicView.Wait
//
// The directory ports of the repository has the interfaces of the first three as small
// adapters, for programs that change only their import. It also says what differs.
//
// # Bounds
//
// A view lies within its region. That is checked once, when it is made, and its length
// never changes. Every index is checked against that length. A bad index panics, as it
// does for a slice. A bad offset is an error, [ErrRange].
//
// Offsets and lengths may come from a hostile file. They do not overflow unnoticed, and
// they do not lead out of the region. [ToEnd] is the only negative number with a meaning.
//
// # Lifetime
//
// A region never moves. It grows inside its reservation, so views that were made before
// [Region.Resize] are valid after it.
//
// An access after Close is a fault. It never sees what was mapped at that address next.
// [Region.Close] replaces the mapping by a tombstone in one step, on Windows and
// DragonFly in several: see Platforms. The tombstone stays as long as a Region or a view
// could reach it, or a running Guard may have to explain a fault in it.
//
// A Region that became unreachable without Close is unmapped by the garbage collector, at
// some time. Do not rely on that: call Close.
//
// [Region.Bytes], [Region.Reserved], [View.Slice] and [View.Ptr] return raw memory. Raw
// memory does not keep its region alive, because the collector does not see it:
//
//   - A region whose raw memory was handed out is unmapped by Close only.
//   - After Close the raw memory stays inaccessible for a long time: as long as a Region or a
//     view is reachable, and then in a quarantine. When the quarantine is full or the system
//     needs address space, the oldest memory leaves it first. What is accessed after that may
//     belong to something else. So do not keep raw memory beyond Close.
//
// Nobody else may unmap a region. After munmap(2) on its [Region.Addr], Close would tear away
// what was mapped there next.
//
// # Alignment and layout
//
// Offsets in bytes may have any value. Pages are the package's affair.
//
// The numbers in a [View], in structs too, and in an [AtomicView] must be aligned to their
// size, on every machine. That is checked when the view is made ([ErrAlignment]). [BigEndian],
// [LittleEndian], [Get] and [Put] take any alignment.
//
// A struct must have the same bytes on every machine of the same byte order. That is checked
// when the view is made ([ErrLayout]). The error says what to change: see [StructViewOf].
//
// # Faults
//
// A fault is an access that the system cannot serve: the file was truncated, the region is
// closed or read-only, the disk is full or broken. Every function that returns an error
// then returns one that says where and why. It is a [*FaultError], unless the function
// saw before any access that the region is closed or read-only. Guard does the same for
// accesses of your own:
//
//	err := mmap.Guard(func() error {
//		sum := 0 // a variable of its own: see Guard
//		for x := range v.Values() {
//			sum += int(x)
//		}
//		total = sum
//		return nil
//	})
//
// A fault elsewhere ends the process ("unexpected fault address", "fatal error: fault").
// Guard works on the goroutine that calls it. Its documentation lists what it cannot reach.
// There, copy first: [Region.ReadAt], [View.CopyTo] and Get return errors.
//
// Faults are found page by page. If a file is truncated in the middle of a page, the rest
// of the page reads as zero, and what is stored there is lost (mmap(2), NOTES). Neither
// is a fault. [Region.Sync] notices the truncation, and returns [ErrTruncated]. So a
// program that must be sure that it read what was there calls Sync at the end, even if it
// only reads. If a file was truncated and extended again, only its modification time
// shows it.
//
// The compiler may leave out a load whose result is not used. Then there is no fault.
//
// # Concurrency
//
// Every method of a Region may be called at any time, from any goroutine. Close waits for
// none of them: they return [ErrClosed]. Views may be copied and shared.
//
// Accesses to the same bytes follow Go's memory model, as for any memory. If two may happen
// at the same time, and one of them is a store, use an AtomicView or a lock. Close, Resize,
// Refresh and Protect are not accesses.
//
// # Other processes
//
// What is stored to a ReadWrite region is at once what every other process reads from the
// file, whether it maps the file or not. Another process may
//
//   - truncate the file. The next access there is a fault.
//   - extend the file. Region.Refresh takes up the new size.
//   - change bytes between two loads of them. Copy what must not change between check and use.
//
// The package does not lock files: see flock(2), and fcntl(2) for locks on parts of a file.
//
// # Durability
//
// Nothing is durable before [Region.Sync] returns nil. [Region.Flush] only begins to write.
//
//   - On a disk, data and size survive a loss of power. So does the name of a file that
//     Create or OpenOrCreate made.
//   - On a network file system, the server has the data.
//   - On persistent memory (DAX) it is as on a disk. unix.MAP_SYNC does more: see Region.Sync.
//   - In memory, on a tmpfs, and in a CopyOnWrite region, nothing survives. Sync has nothing
//     to do.
//
// A failed write-back that the system reports is never forgotten. Every Sync of the file
// returns that error until all its regions in the process are closed. What was stored
// since the last Sync that returned nil may then be lost, although the mapping still
// shows it. Region.Sync says what to do.
//
// # Cold data
//
// Cold data is data that is not in memory yet. An access to it is a page fault. The fault
// holds a thread of the system and a processor of Go (GOMAXPROCS) until the disk has
// answered. When the garbage collector wants to begin, it waits too, and the whole program
// stands still. A system call holds nobody up. So bring cold data in by system calls:
//
//   - To go over much of a file: [View.Chunks]. It reads ahead, and asks the system once for
//     each MiB. Each loop has a few MiB on their way. In a cgroup that has no room for that,
//     use an os.File.
//   - To copy: Region.ReadAt, View.CopyTo, [Region.WriteTo]. Copies of 64 KiB or more wait in
//     a system call where pages are missing. Shorter ones do not ask, and neither do views.
//   - To access one place: [View.Populate] before it.
//   - To read while the program does other things: [Region.Advise] with [WillNeed].
//   - To read places in no order: Advise with [Random] first. Otherwise each fault reads as
//     much as the disk's read-ahead, which may be megabytes.
//   - To go forwards over a file that is larger than memory: Advise with [Sequential] first. Then
//     pages that the loop has left are given up before pages that it still comes to.
//
// For data that is in memory, [View.At] costs no more than a slice. Linux says which pages
// of a file are in memory only to the file's owner and to those who may write it. For others,
// long copies wait in page faults. Chunks and Populate do not.
//
// # The race detector
//
// With -race, the detector finds data races in mapped memory, to the byte, whichever regions
// of the process the byte is reached through. It knows the order that an AtomicView makes.
// An access through a view then takes about 0.1 µs, an operation of an AtomicView up to 1 µs
// (go test -race -run '^$' -bench Access).
//
// This is what it does not see:
//
//   - Accesses to raw memory, which Bytes, Reserved, Slice and Ptr return.
//   - What is read and written through an [os.File].
//   - Other processes, and an order that goes through one. It may report data that goroutines
//     hand over by way of another process.
//   - The memory of devices, and Registers.
//   - More than 48 MiB of mapped memory at a time, in blocks of 64 KiB. It sees the blocks
//     that were accessed first. Closed regions give theirs back. Beyond 64 MiB an AtomicView
//     may make more order than it should, which can hide a race.
//
// In a report, your line is the first below those of package mmap.
//
// Regions of one file count as one memory if they were mapped through one os.File. Those of
// several calls of Open count as one, too, where it is certain that the file is the same. That
// is so on ext4, XFS, Btrfs, F2FS, tmpfs and hugetlbfs of Linux, but not on overlayfs, which
// containers have. A CopyOnWrite region is memory of its own.
//
// Addresses in a report lie in the detector's own memory. Their last three digits are those
// of the offset in the file. The stacks show the accesses.
//
// # Sharing memory
//
// A file that several processes map is shared memory. Without a file on a disk:
//
//   - [MemFile] makes a file in memory. A child gets it through [os/exec.Cmd] (ExtraFiles), and
//     both sides call [Map].
//   - [Shared] maps memory that has a name, for all processes of one user. If another user
//     has taken the name, that is an error.
//
// A side that does not trust the other does three things. Before it maps, it asks [SealsOf]
// for [SealShrink]: then no access can fault. It loads every offset and length once, by Get
// or an AtomicView, and makes its views with them. It copies what must not change between
// check and use. Then the other side can send wrong bytes, but break nothing. Without the
// seal, use Guard.
//
// [AtomicView.Wait] waits until another process changes an integer of 32 bits and calls
// [AtomicView.Wake]. Call it in a loop, and run the loop under Guard:
//
//	for v.Load(0) == seen {
//		if err := v.Wait(ctx, 0, seen); err != nil {
//			return err
//		}
//	}
//
// The other side stores its data, then changes the integer, then wakes:
//
//	v.Add(0, 1)
//	v.Wake(0, 1) // or math.MaxInt for all
//
// Let the integer go up with every change. A value that comes back looks like no change. To
// wait for a 64-bit integer, store it first, and then count up one of 32 bits beside it.
//
// A process that was killed wakes nobody, and leaves its work half done. Give Wait a context
// with a deadline. When it ends, look whether the other side is still there. The program
// examples/ring does so. It is a queue between two processes. Each holds a lock on a byte of
// a file (fcntl(2), F_SETLK), which the system releases when the process ends. The other side
// asks whether that lock is held. The section Files says what to mind with such locks.
//
// # Files
//
// A region keeps to the file that it mapped, whatever the file's name leads to later. Open,
// Create, OpenOrCreate and Shared open a file, and the region closes it at Close. Map
// borrows the file of its caller, who may close it at any time: see [Config.Map].
//
// When a process closes a file, the system releases all fcntl(2) locks that the process has
// on that file. So a program with such locks calls Map, and closes the file last. A flock(2)
// lock lasts as long as the open file that it was taken through. Every mapping, made by this
// package or not, keeps that file open until it is unmapped. So unlock what must be free
// before Close.
//
// # Devices
//
// The package never touches a device by itself: every access is one that the program asked
// for. [Registers] access a register once, with its width. Views and copies do not promise
// that. They are for the memory of a device.
//
// # Platforms
//
// Everything works on Linux, on every architecture that Go supports there. The other systems:
//
//	                     Linux   Windows  macOS   FreeBSD  NetBSD   OpenBSD  DragonFly Solaris
//	tested on            kernels Wine     (1)     (1)      (1)      (1)      (1)       (1)
//	grows, never moves   yes     yes (2)  yes     yes      yes      yes      yes       yes
//	Resize shrinks       yes     no       yes     yes      yes      yes      yes       yes
//	a full disk is       a fault a fault  (3)     (3)      a fault  (3)      (3)       (3)
//	Sync reaches         disk    disk     disk    (4)      (4)      drive    drive     disk
//	lost write-backs     all     all      (5)     all      all      (5)      all       all
//	Shared lives in      memory  a file   a file  a file   a file   a file   a file    a file
//	MemFile, HugePages2M yes     no       no      no       no       no       no        no
//	Resident             yes     yes      yes     yes      yes      no       yes       no
//	Wait                 sleeps  polls    polls   sleeps   polls    polls    polls     polls
//
// What the numbers mean:
//
//  1. The code that these systems share is tested on Linux. The code that is one system's
//     own follows that system's manual and its kernel's source, and was never run.
//     Solaris includes illumos.
//  2. From Windows 10 (1803) on. On older versions a region of a file cannot grow, and its
//     file cannot be deleted as long as anything reaches the closed region. A region that grew
//     is several mappings (in Windows' words, views), which Close gives back one after
//     another: grow in large steps. A growth that fails may leave the file longer.
//     [RemoveShared] works only while nobody has the memory mapped.
//  3. A store to a hole of a file is accepted. That the disk is full is an error of Sync. On
//     Solaris this holds on ZFS only; on other file systems the store is a fault. On ZFS it
//     holds on every system.
//  4. The disk. But what is stored in a file on UFS of FreeBSD, or on NetBSD in a file
//     that is not open for writing, reaches only the drive. "drive" means: whether the
//     drive's own cache survives a loss of power is the drive's affair. macOS is like
//     that, too, where the file system has no F_FULLFSYNC.
//  5. What fails in the system's own write-back between two Syncs may never be reported.
//
// On OpenBSD, mapped pages are apart from what read(2) and write(2) see. Call Sync before
// another program reads the file, and before looking at what another program wrote. Never let
// both change one page: the mapping's page wins.
//
// On DragonFly, Close makes the pages inaccessible, and keeps the file until the region is
// unreachable. When a region of memory shrinks, another thread's mapping could in that moment
// be given the pages. Cap is smaller then.
//
// On AIX, Plan 9, js and wasip1 every function that maps returns [errors.ErrUnsupported].
package mmap
