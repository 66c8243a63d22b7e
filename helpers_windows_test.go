package mmap

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/windows"
)

// What the helpers ask Windows itself. Wine shows the /proc of another process.

// isWine says whether this is Wine and not Windows.
var isWine = windows.NewLazySystemDLL("ntdll.dll").NewProc("wine_get_version").Find() == nil

// cannotGrow is why a test is left out before Windows 10 (1803), or under Wine 8.
const cannotGrow = "before Windows 10 (1803) a region of a file cannot grow: there are no placeholders"

var getHandleInformation = kernel32.NewProc("GetHandleInformation")

func init() {
	systemMapsAt = func(addr uintptr) string { perms, _ := queryAt(addr); return perms }
	systemMappings = func() (n int) {
		for addr := uintptr(64 << 10); ; {
			perms, size := queryAt(addr)
			if size == 0 {
				return n
			}
			if perms != "" {
				n++
			}
			addr += size
		}
	}
	systemDescriptors = func(t testing.TB) int {
		n := 0
		for h, last := uintptr(4), uintptr(0); h < last+4*4096; h += 4 { // GetProcessHandleCount tells nothing on Wine
			var flags uint32
			if r, _, _ := getHandleInformation.Call(h, uintptr(unsafe.Pointer(&flags))); r != 0 {
				n, last = n+1, h
			}
		}
		return n
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
