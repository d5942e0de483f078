package mirror

import "time"

// Predict tells from the live passes so far, at least one, how long the last one
// will take if it follows at once. It errs on the long side.
//
// The last pass looks at every entry twice. It reads what the last live pass left
// unproven, and sends what was written meanwhile: as much as that pass did, or more
// if that pass took longer than the one before. With clones nothing is read before the
// writer goes on, but what that pass left unproven is cloned.
func Predict(passes []Report) time.Duration {
	last := passes[len(passes)-1]
	unproven, growth := 0.0, 1.0
	if last.Read > 0 {
		unproven = float64(last.Suspect) / float64(last.Read)
	}
	send := last.Send * unproven // the first pass sends all there is
	if before := len(passes) - 2; before >= 0 {
		growth = max(1, last.Seconds/max(passes[before].Seconds, 0.001))
		send = last.Send
	}
	copying := last.Compare*unproven + send
	if last.Cloned {
		copying = last.Clone
	}
	const reserve, start = 1.5, 0.02
	seconds := start + 2*last.Look + growth*copying
	return time.Duration(reserve * seconds * float64(time.Second))
}

// Worthwhile says whether another live pass would make the last one shorter by
// something that counts: not when it is short already, nor when what there is to
// copy stopped shrinking.
func Worthwhile(passes []Report, budget time.Duration) bool {
	if len(passes) == 0 {
		return true
	}
	now := Predict(passes)
	if now <= budget/10 {
		return false
	}
	return len(passes) < 2 || now < Predict(passes[:len(passes)-1])*3/4
}
