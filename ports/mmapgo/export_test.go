package mmap

// Mapped is how many mappings there are.
func Mapped() int {
	mu.Lock()
	defer mu.Unlock()
	return len(regions)
}
