package rib

import "unsafe"

// Usage is the memory that the table takes, in bytes.
type Usage struct{ Index, Entries, Chunks, Journal uint64 }

// Usage measures the table.
func (t *Table) Usage() Usage {
	return Usage{t.index.bytes(), t.entries.Bytes(unsafe.Sizeof(entry{})), t.more.Bytes(unsafe.Sizeof(chunk{})),
		uint64(cap(t.journal)+cap(t.read))*uint64(unsafe.Sizeof(Change{})) + uint64(cap(t.others)+cap(t.told))*4}
}
