package rpc

import "context"

// RegisterSelf adds the server's own methods. rpc.Version answers with version,
// which PHP packages compare with the RoadRunner versions that they know.
// rpc.Config answers with config's bytes, the effective configuration as JSON:
// in the JSON codec base64, in the raw codec as it is. It holds secrets as
// they are configured, as in RoadRunner.
func RegisterSelf(s *Server, version string, config func() ([]byte, error)) {
	Register(s, "rpc.Version", Anyone, func(_ context.Context, _ *bool, reply *string) error {
		*reply = version
		return nil
	})
	Register(s, "rpc.Config", Operator, func(_ context.Context, _ *bool, reply *[]byte) (err error) {
		*reply, err = config()
		return err
	})
}
