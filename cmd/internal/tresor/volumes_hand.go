package tresor

import (
	"context"
	"fmt"

	"tresor/cmd/internal/cli"
	"tresor/orchestrator/volume"
)

// byHand does what an operator asks for with a disk that is not in use.
func (v *volumes) byHand(ctx context.Context, r volumeArgs, second string) error {
	switch r.Do {
	case "eject":
		return v.m.Eject(ctx, r.Name)
	case "second":
		_, err := v.m.Second(ctx, r.Name, second, r.Check)
		return err
	case "end-second":
		c, err := v.m.EndSecond(ctx, second)
		for _, w := range c.Warnings {
			v.a.logger.Warn("unmount: " + w)
		}
		return err
	case "reinit":
		return v.m.Make(ctx, r.Name, volume.MakeHow{GiveUp: r.Name, Size: r.Size})
	}
	return cli.Exit(cli.ExitUnsupported, fmt.Errorf("the service does not know %q", r.Do))
}
