package view_test

import (
	"io"
	"testing"

	"connectrpc.com/connect"

	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/view"
	"holdfast/testkit/fakerouter"
)

// BenchmarkRoutes is a route on its way from the router over a socket to the
// output.
func BenchmarkRoutes(b *testing.B) {
	for name, v := range map[string]view.View{"human": view.Human(io.Discard, view.Options{}), "json": view.JSON(io.Discard)} {
		b.Run(name, func(b *testing.B) {
			c := serve(b, &fakerouter.Router{Repeat: b.N})
			out := v.Routes(view.RouteColumns{})
			s, err := c.ListRoutes(b.Context(), connect.NewRequest(&pb.ListRoutesRequest{Limit: uint64(b.N)}))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			for s.Receive() {
				for _, r := range s.Msg().Routes {
					if err := out.Add(r); err != nil {
						b.Fatal(err)
					}
				}
			}
			if err := out.Close(); err != nil || s.Err() != nil {
				b.Fatal(err, s.Err())
			}
		})
	}
}
