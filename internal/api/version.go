package api

import (
	"runtime"
	"runtime/debug"

	pb "holdfast/internal/api/holdfastv1"
)

// release is the version under development, if the linker has set no other.
var release = "0.1.0-dev"

// Version is that of this binary.
func Version() *pb.GetVersionResponse {
	v := &pb.GetVersionResponse{Version: release, Go: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Commit = s.Value
			}
		}
	}
	return v
}
