package harness

import (
	"cmp"
	"context"
	"time"

	"homelab/internal/deploy"
)

// logsPatience bounds how long reading the log of a container may take.
const logsPatience = 30 * time.Second

// logs are the last lines of the container of a service.
func (h *Harness) logs(ctx context.Context, r deploy.LogsRequest) (*deploy.LogsReport, error) {
	s, err := h.placeOf(ctx, r.Service, r.Host)
	if err != nil {
		return nil, err
	}
	timed, stop := context.WithTimeout(ctx, logsPatience)
	defer stop()
	var report *deploy.LogsReport
	err = h.on(timed, s.At, func(engine deploy.Containers) error {
		if err := stand(timed, engine, &s); err != nil {
			return err
		}
		container, err := s.Of(r.Generation)
		if err != nil {
			return err
		}
		report, err = deploy.Logs(timed, engine, s.Host, *container, r)
		return err
	})
	return report, cmp.Or(ctx.Err(), inTime(s.Host, err))
}
