package mmap

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/windows"
)

// What the helpers ask Windows itself. Wine shows the /proc of another process.

// isWine says whether this is Wine and not Windows.
var isWine = windows.NewLazySystemDLL("ntdll.dll").NewProc("wine_get_version").Find() == nil

var (
	getHandleInformation = kernel32.NewProc("GetHandleInformation")
	ntQueryObject        = windows.NewLazySystemDLL("ntdll.dll").NewProc("NtQueryObject")
)

func init() {
	if !placeholders() {
		cannotGrow = "before Windows 10 (1803), and under Wine 8, there are no placeholders, so a region of a file cannot grow"
		fileTombstone = "---s" // the view itself, which keeps its file
	}
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
	systemDescriptors = func(t testing.TB) int { return countHandles("File") + countHandles("Section") }
}

// countHandles counts the handles of the process of a type. GetProcessHandleCount
// tells nothing on Wine, and counts the handles that each thread of the Go runtime
// has.
func countHandles(kind string) (n int) {
	const typeInformation = 2
	for h, last := uintptr(4), uintptr(0); h < last+4*4096; h += 4 {
		var flags uint32
		if r, _, _ := getHandleInformation.Call(h, uintptr(unsafe.Pointer(&flags))); r == 0 {
			continue
		}
		last = h
		var about struct {
			name windows.NTUnicodeString
			rest [1024]byte
		}
		if r, _, _ := ntQueryObject.Call(h, typeInformation, uintptr(unsafe.Pointer(&about)), unsafe.Sizeof(about), 0); r == 0 && about.name.String() == kind {
			n++
		}
	}
	return n
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
