package demo

import (
	_ "embed"
	"io"
	"strings"
)

//go:embed table.mrt.gz
var table string

// Table is an excerpt of a real table, IPv4 and IPv6, in MRT: see README.md for
// where it is from.
func Table() io.Reader { return strings.NewReader(table) }
