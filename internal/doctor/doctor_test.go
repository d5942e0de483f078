package doctor_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"homelab/internal/doctor"
)

func finds(status doctor.Status) func(context.Context) doctor.Check {
	return func(context.Context) doctor.Check { return doctor.Check{Status: status} }
}

func TestRunKeepsTheOrderAndNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context) doctor.Check {
			time.Sleep(3 * time.Second)
			return doctor.Check{Status: doctor.OK, Version: "2.8"}
		}
		start := time.Now()
		report, err := doctor.Run(t.Context(), []doctor.Probe{
			{Name: "nix", Run: slow},
			{Name: "git", Run: slow},
			{Name: "docker:pi", Run: finds(doctor.Absent)},
		}, nil)
		require.NoError(t, err)
		assert.Equal(t, &doctor.Report{OK: true, Checks: []doctor.Check{
			{Name: "nix", Status: doctor.OK, Version: "2.8"},
			{Name: "git", Status: doctor.OK, Version: "2.8"},
			{Name: "docker:pi", Status: doctor.Absent},
		}}, report)
		assert.Equal(t, 3*time.Second, time.Since(start), "probes run side by side")
	})
}

// Of many probes a few run at a time, and those that would wait too long say so.
func TestManyProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		probes := make([]doctor.Probe, 400)
		for i := range probes {
			probes[i] = doctor.Probe{Name: "docker", Timeout: 15 * time.Second, Run: func(context.Context) doctor.Check {
				most.Store(max(most.Load(), now.Add(1)))
				defer now.Add(-1)
				time.Sleep(14 * time.Second)
				return doctor.Check{Status: doctor.Fail}
			}}
		}
		start := time.Now()
		report, err := doctor.Run(t.Context(), probes, nil)
		require.NoError(t, err)
		assert.EqualValues(t, 16, most.Load())
		assert.Equal(t, 70*time.Second, time.Since(start))
		assert.Empty(t, report.Checks[79].Detail)
		assert.Equal(t, doctor.Check{
			Name: "docker", Status: doctor.Fail, Detail: "not looked at: the checks before it took 1m0s", Fix: "see why they are slow",
		}, report.Checks[80])
	})
}

func TestReportIsOKUnlessACheckFails(t *testing.T) {
	for status, ok := range map[doctor.Status]bool{
		doctor.OK: true, doctor.Warn: true, doctor.Absent: true, doctor.Fail: false,
	} {
		report, err := doctor.Run(t.Context(), []doctor.Probe{
			{Name: "a", Run: finds(doctor.OK)}, {Name: "b", Run: finds(status)},
		}, nil)
		require.NoError(t, err)
		assert.Equal(t, ok, report.OK, status)
	}
}

func TestProbeThatHangsIsLeftBehind(t *testing.T) {
	for name, run := range map[string]func(context.Context) doctor.Check{
		"deaf": func(context.Context) doctor.Check {
			time.Sleep(time.Hour)
			return doctor.Check{Status: doctor.OK}
		},
		"polite": func(ctx context.Context) doctor.Check {
			<-ctx.Done()
			return doctor.Check{Status: doctor.Warn, Detail: ctx.Err().Error()}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				report, err := doctor.Run(t.Context(), []doctor.Probe{
					{Name: "host", Run: run}, {Name: "short", Timeout: time.Second, Run: run},
				}, nil)
				require.NoError(t, err)
				assert.Equal(t, doctor.DefaultTimeout, time.Since(start))
				assert.False(t, report.OK)
				assert.Equal(t, "no answer within 5s", report.Checks[0].Detail)
				assert.Equal(t, "no answer within 1s", report.Checks[1].Detail)
				time.Sleep(time.Hour) // the deaf probe ends before the bubble does
			})
		})
	}
}

func TestPanicIsAFailedCheck(t *testing.T) {
	report, err := doctor.Run(t.Context(), []doctor.Probe{
		{Name: "bad", Run: func(context.Context) doctor.Check { panic("boom") }},
		{Name: "good", Run: finds(doctor.OK)},
	}, nil)
	require.NoError(t, err)
	assert.Equal(t, doctor.Fail, report.Checks[0].Status)
	assert.Contains(t, report.Checks[0].Detail, "boom")
	assert.Equal(t, doctor.OK, report.Checks[1].Status)
}

func TestEachCheckIsToldOnce(t *testing.T) {
	var told []string
	_, err := doctor.Run(t.Context(), []doctor.Probe{
		{Name: "a", Run: finds(doctor.OK)}, {Name: "b", Run: finds(doctor.Fail)},
	}, func(c doctor.Check) { told = append(told, c.Name) })
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"a", "b"}, told)
}

func TestCanceledRunIsAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := doctor.Run(ctx, []doctor.Probe{{Name: "a", Run: func(context.Context) doctor.Check {
		cancel()
		return doctor.Check{Status: doctor.OK}
	}}}, nil)
	require.ErrorIs(t, err, context.Canceled)
}
