package plan

import (
	"fmt"
	"strconv"
	"strings"

	"homelab/internal/fault"
)

// cursor is where a page begins: the beginning of the plan's id, and how many
// files and services were already told.
type cursor struct {
	plan            string
	files, services int
}

const cursorDigits = 16

func (c cursor) String() string { return fmt.Sprintf("%s.%d.%d", c.plan, c.files, c.services) }

func parseCursor(text string) (cursor, error) {
	if text == "" {
		return cursor{}, nil
	}
	id, offsets, _ := strings.Cut(text, ".")
	files, services, _ := strings.Cut(offsets, ".")
	c := cursor{plan: id}
	var err1, err2 error
	c.files, err1 = strconv.Atoi(files)
	c.services, err2 = strconv.Atoi(services)
	if err1 != nil || err2 != nil || c.files < 0 || c.services < 0 || len(id) != cursorDigits {
		return cursor{}, fault.Newf(fault.InvalidArgument, "pass nextCursor of the answer before, unchanged", "cursor: %.100q is not one", text)
	}
	return c, nil
}

// page cuts the lists of the answer to their bounds, beginning at a cursor.
func (a *analysis) page(out *Plan, files []File, at cursor, limit int) {
	services := a.decided
	if len(services) > MaxServices {
		services = nil
		for _, s := range a.decided {
			if s.Decision != None {
				services = append(services, s)
			}
		}
	}
	services = services[min(at.services, len(services)):]
	files, before := files[min(at.files, len(files)):], len(files)
	out.Services = cut(services, MaxServices)
	out.Changes = FileList{Count: before, Files: cut(files, limit)}
	if len(out.Services) < len(services) || len(out.Changes.Files) < len(files) {
		out.NextCursor = cursor{
			out.PlanID[:cursorDigits], at.files + len(out.Changes.Files), at.services + len(out.Services),
		}.String()
	}
	out.GlobalChanges = cut(out.GlobalChanges, limit)
	out.Unmatched.Paths = cut(out.Unmatched.Paths, limit)
	out.StaleHints = cut(out.StaleHints, limit)
}
