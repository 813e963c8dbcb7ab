package tresor

import (
	"context"
	"errors"
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
	case "init", "reinit":
		how := volume.MakeHow{Size: r.Size, BlockSize: r.BlockSize, Hash: r.Hash}
		if r.Do == "reinit" {
			how.GiveUp = r.Name
		}
		if r.Size == 0 {
			how.Percent = v.a.config().Format.VolumePercent
		}
		err := v.m.Make(ctx, r.Name, how)
		if errors.Is(err, volume.ErrNotFound) {
			err = cli.Exit(cli.ExitNoVolume, err)
		}
		return err
	}
	return cli.Exit(cli.ExitUnsupported, fmt.Errorf("the service does not know %q", r.Do))
}

// alone does without a service what a volume is made with.
func (v *volumeVerb) alone(ctx context.Context, s Streams, r volumeArgs) error {
	a, err := openApp(ctx, v.file, s.Err, true)
	if err != nil {
		return err
	}
	vs, err := a.newVolumes(a.config())
	if err == nil {
		err = errors.Join(vs.byHand(ctx, r, ""), vs.m.Close())
	}
	return errors.Join(err, a.close())
}
