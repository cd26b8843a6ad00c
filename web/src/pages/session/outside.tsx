// Before one is signed in: the form for that, or the first run of a new installation.
import { api } from "../../api/client";
import { Failed, Loading } from "../../parts/state";
import { FirstRun } from "./first";
import { SignIn } from "./sign_in";

export function Outside() {
  const setup = api.useQuery("get", "/v1/setup", {}, { retry: false });
  if (setup.isPending) return <Loading rows={3} />;
  return (
    <div className="outside">
      <main className="card">
        <div className="body">
          <div className="brand" style={{ padding: 0 }}><img src="/icon.svg" alt="" />Postroad</div>
          {setup.data ? setup.data.needed ? <FirstRun allowed={setup.data.allowed} /> : <SignIn /> : <Failed error={setup.error} again={() => void setup.refetch()} />}
        </div>
      </main>
    </div>
  );
}
