// Command fusetest is a file system for tests: one directory of files in
// memory, which does what other people's file systems do on a bad day.
//
//	fusetest [flags] DIRECTORY
//
// It mounts itself over the directory, writes "mounted" (or "error" and why),
// and then obeys the lines on its standard input, which control.go lists. At
// the end of its input it unmounts itself and ends. So it does at a time limit:
// whoever still waits for a held call gets an error then, and nothing hangs.
//
// The file system is a process of its own because a process that faults on a
// page which it has to supply itself waits forever.
//
// The source: calls.go keeps what is to happen to which calls, files.go has the
// files and answers the kernel, control.go reads the commands.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

func main() {
	writeback := flag.Bool("writeback", false, "let write(2) end in the page cache, and the kernel alone know sizes (FUSE_WRITEBACK_CACHE)")
	keep := flag.Bool("keep", false, "let the page cache outlive the next open(2) (FOPEN_KEEP_CACHE)")
	valid := flag.Duration("valid", 0, "how long the kernel may trust names and attributes without asking")
	ahead := flag.Int("readahead", 0, "how many bytes the kernel may read ahead at most; 0: as many as it likes")
	patience := flag.Duration("patience", 20*time.Second, "how long the commands held and await wait")
	limit := flag.Duration("limit", time.Minute, "end after this time")
	debug := flag.Bool("debug", false, "write every request to the standard error")
	flag.Parse()
	signal.Ignore(os.Interrupt) // meant for the tests, which end the input then

	dir := flag.Arg(0)
	calls := newCalls()
	time.AfterFunc(*limit, func() {
		fmt.Fprintf(os.Stderr, "fusetest: ended by its limit of %v\n", *limit)
		log.SetOutput(io.Discard)
		calls.releaseAll()
		unix.Unmount(dir, unix.MNT_FORCE|unix.MNT_DETACH)
		os.Exit(1)
	})
	files := newFiles(calls, *keep, *valid)
	options := &fuse.MountOptions{
		Name:               "fusetest",
		FsName:             "fusetest",
		DirectMountStrict:  true,
		DisableXAttrs:      true,
		DisableReadDirPlus: true,
		MaxBackground:      1000, // held calls count, and must not hold up others
		DisableSplice:      true, // its FIONREAD is that of most processors, and panics on ppc64
		MaxReadAhead:       *ahead,
		Debug:              *debug,
	}
	if *writeback {
		options.ExtraCapabilities |= fuse.CAP_WRITEBACK_CACHE
	}
	server, err := fuse.NewServer(files, dir, options)
	if err == nil {
		go server.Serve()
		err = server.WaitMount()
	}
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	if *writeback && server.KernelSettings().Flags64()&fuse.CAP_WRITEBACK_CACHE == 0 {
		fmt.Println("error the kernel has no write-back cache for FUSE")
		end(calls, server, dir, 1)
	}
	fmt.Println("mounted")
	control := &control{calls: calls, files: files, kernel: server, patience: *patience}
	control.run(os.Stdin, os.Stdout)
	end(calls, server, dir, 0)
}

// end releases every held call, takes the mount away and ends the process. A
// mount that is still in use is cut off: a caller in the kernel gets an error.
func end(calls *calls, server *fuse.Server, dir string, code int) {
	log.SetOutput(io.Discard) // the library complains of what is cut off
	calls.releaseAll()
	unix.Unmount(dir, unix.MNT_DETACH)
	served := make(chan struct{})
	go func() {
		server.Wait()
		close(served)
	}()
	select {
	case <-served:
	case <-time.After(100 * time.Millisecond):
	}
	os.Exit(code)
}
