package mmap

import (
	"os"
	"sync"
)

// A descriptor is the one open file that all writable regions of a file share,
// so that a program can have more regions than descriptors. handle, which the
// platform defines, is what the system calls want.
type descriptor struct {
	handle
	id   fileID
	refs int

	resizing sync.Mutex // held while the size of the file is looked at and changed
}

var descriptors = struct {
	sync.Mutex
	of map[fileID]*descriptor
}{of: make(map[fileID]*descriptor)}

// holdDescriptor returns the descriptor of the file with this id, a duplicate of
// f's if there is none yet.
func holdDescriptor(id fileID, f *os.File) (*descriptor, error) {
	descriptors.Lock()
	defer descriptors.Unlock()
	d := descriptors.of[id]
	if d == nil {
		h, err := duplicate(f)
		if err != nil {
			return nil, err
		}
		d = &descriptor{handle: h, id: id}
		descriptors.of[id] = d
	}
	d.refs++
	return d, nil
}

// release closes the descriptor if nobody else holds it. d may be nil.
func (d *descriptor) release() error {
	if d == nil {
		return nil
	}
	descriptors.Lock()
	defer descriptors.Unlock()
	d.refs--
	if d.refs > 0 {
		return nil
	}
	delete(descriptors.of, d.id)
	return d.close()
}
