package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
)

// completionPatience is how long a shell waits for the router.
const completionPatience = 500 * time.Millisecond

func (a *app) completionCommand() *cobra.Command {
	shells := []string{"bash", "fish", "zsh"}
	return &cobra.Command{
		Use:   "completion bash|fish|zsh",
		Short: "Write a script that completes commands, neighbors and policies",
		Example: `  holdfast completion bash > /etc/bash_completion.d/holdfast
  holdfast completion zsh > "${fpath[1]}/_holdfast"
  holdfast completion fish > ~/.config/fish/completions/holdfast.fish`,
		Args:        between(1, 1),
		ValidArgs:   shells,
		Annotations: map[string]string{here: "writes a script"},
		RunE: func(c *cobra.Command, args []string) error {
			switch root := c.Root(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.Out, true)
			case "fish":
				return root.GenFishCompletion(a.Out, true)
			case "zsh":
				return root.GenZshCompletion(a.Out)
			}
			return fmt.Errorf("there is no completion for %q: choose %s", args[0], list(shells))
		},
	}
}

// complete gives a flag its values. It fails only for flags that do not exist,
// which the tests find.
func complete(c *cobra.Command, flag string, f cobra.CompletionFunc) {
	cobra.CheckErr(c.RegisterFlagCompletionFunc(flag, f))
}

// completeNeighbors completes an only argument: a name from the running router.
func (a *app) completeNeighbors(also ...string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return append(a.neighborNames(c.Context()), also...), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeNeighborFlag completes a name for a flag.
func (a *app) completeNeighborFlag(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.neighborNames(c.Context()), cobra.ShellCompDirectiveNoFileComp
}

func (a *app) neighborNames(ctx context.Context) []string {
	var names []string
	a.quietly(ctx, func(ctx context.Context, r *api.Client) error {
		m, err := r.ListNeighbors(ctx, connect.NewRequest(&pb.ListNeighborsRequest{}))
		if err != nil {
			return err
		}
		for _, n := range m.Msg.Neighbors {
			names = append(names, cobra.CompletionWithDesc(n.Name, fmt.Sprintf("%s AS %d", n.Address, n.Asn)))
		}
		return nil
	})
	return names
}

func (a *app) completePolicies(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	a.quietly(c.Context(), func(ctx context.Context, r *api.Client) error {
		m, err := r.ListPolicies(ctx, connect.NewRequest(&pb.ListPoliciesRequest{}))
		if err != nil {
			return err
		}
		for _, p := range m.Msg.Policies {
			names = append(names, p.Name)
		}
		return nil
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeTables completes the name of a table for a flag.
func (a *app) completeTables(c *cobra.Command, _ []string, _ string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
	a.quietly(c.Context(), func(ctx context.Context, r *api.Client) error {
		m, err := r.GetSummary(ctx, connect.NewRequest(&pb.GetSummaryRequest{}))
		if err != nil {
			return err
		}
		for _, t := range m.Msg.Tables {
			if !slices.Contains(names, t.Table) { // it is there for each family
				names = append(names, t.Table)
			}
		}
		return nil
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeTags completes a tag of neighbors for a flag.
func (a *app) completeTags(c *cobra.Command, _ []string, _ string) (tags []cobra.Completion, _ cobra.ShellCompDirective) {
	a.quietly(c.Context(), func(ctx context.Context, r *api.Client) error {
		m, err := r.ListNeighbors(ctx, connect.NewRequest(&pb.ListNeighborsRequest{}))
		if err != nil {
			return err
		}
		for _, n := range m.Msg.Neighbors {
			tags = append(tags, n.Tags...)
		}
		return nil
	})
	slices.Sort(tags)
	return slices.Compact(tags), cobra.ShellCompDirectiveNoFileComp
}

// quietly asks the router; without an answer there are no completions.
func (a *app) quietly(ctx context.Context, f func(context.Context, *api.Client) error) {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionPatience)
	defer cancel()
	r := api.Dial(a.socket)
	defer r.Close()
	if err := f(ctx, r); err != nil {
		cobra.CompDebugln(r.Error(err).Error(), false)
	}
}
