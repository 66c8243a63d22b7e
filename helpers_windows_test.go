package mmap

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/windows"
)

// What the helpers ask Windows itself. Wine shows the /proc of another process.

var getProcessHandleCount = kernel32.NewProc("GetProcessHandleCount")

func init() {
	systemMapsAt = func(addr uintptr) string { perms, _ := queryAt(addr); return perms }
	systemMappings = func() (n int) {
		for addr := uintptr(64 << 10); ; n++ {
			_, size := queryAt(addr)
			if size == 0 {
				return n
			}
			addr += size
		}
	}
	systemDescriptors = func(t testing.TB) int {
		var n uint32
		if r, _, err := getProcessHandleCount.Call(self, uintptr(unsafe.Pointer(&n))); r == 0 {
			t.Fatal(err)
		}
		return int(n)
	}
}

// queryAt says in the words of /proc/self/maps what VirtualQuery says of an
// address, and how many bytes from there on it says that of. A placeholder is
// memory that is reserved.
func queryAt(addr uintptr) (perms string, size uintptr) {
	var info windows.MemoryBasicInformation
	if windows.VirtualQuery(addr, &info, unsafe.Sizeof(info)) != nil {
		return "", 0
	}
	size = info.BaseAddress + info.RegionSize - addr
	if info.State == 0x10000 { // MEM_FREE
		return "", size
	}
	perms = "---"
	if info.State == windows.MEM_COMMIT {
		switch info.Protect & 0xFF {
		case windows.PAGE_READONLY, windows.PAGE_EXECUTE_READ:
			perms = "r--"
		case windows.PAGE_READWRITE, windows.PAGE_WRITECOPY, windows.PAGE_EXECUTE_READWRITE, windows.PAGE_EXECUTE_WRITECOPY:
			perms = "rw-"
		}
	}
	if info.Type == 0x40000 { // MEM_MAPPED
		return perms + "s", size
	}
	return perms + "p", size
}
